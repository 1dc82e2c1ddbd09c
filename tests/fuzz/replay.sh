#!/usr/bin/env bash
# TAP: each fuzz target of TP_FUZZ_TARGETS takes every input of its corpus without a complaint, whether replay.c or libFuzzer is its main().
set -euo pipefail

read -ra targets <<<"$TP_FUZZ_TARGETS"
printf '1..%d\n' ${#targets[@]}
n=0
failed=0
for target in "${targets[@]}"; do
    n=$((n + 1))
    name=${target##*/fuzz_}
    mapfile -t inputs < <(find "$TP_SRCDIR/tests/fuzz/corpus/$name" -type f | sort)
    result="not ok"
    if [[ ${#inputs[@]} -eq 0 ]]; then
        printf '# tests/fuzz/corpus/%s holds no input\n' "$name"
    elif output=$("$TP_BUILDDIR/$target" "${inputs[@]}" 2>&1); then
        result="ok"
    else
        printf '# %s\n' "${output//$'\n'/$'\n# '}"
    fi
    [[ $result == ok ]] || failed=1
    printf '%s %d - fuzz: %s replays %d inputs\n' "$result" "$n" "$name" ${#inputs[@]}
done
exit "$failed"
