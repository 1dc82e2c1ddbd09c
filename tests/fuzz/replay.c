/*
 * Purpose:  main() of a fuzz target in builds without libFuzzer: feeds it every file it is given, or finds in the folders it is given.
 * Owner:    one process.
 * Lifetime: as long as the inputs.
 * Callers:  tests/fuzz/replay.sh under `make check`; people who look at one input.
 * RFC:      none.
 *
 * A file that ends in .hex is text: hexadecimal digits, white space between them, and comments from '#' to the end of the line. Other
 * files are fed as they are. `--raw DIR` writes the inputs as bytes into DIR instead, which is what libFuzzer takes as its corpus.
 */
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 1 << 20 };

static unsigned done, failed;
static const char *raw_dir;

static int digit(char c)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    const char *p = c ? strchr(digits, c) : NULL;
    return p ? (int)(p - digits) & 15 : -1;
}

/* In place. False when something is neither digit, space nor comment, or a digit is left over. */
static bool unhex(uint8_t *data, size_t *size)
{
    size_t n = 0;
    int high = -1;
    for (size_t i = 0; i < *size; i++) {
        char c = (char)data[i];
        if (c == '#') {
            while (i < *size && data[i] != '\n')
                i++;
            continue;
        }
        if (strchr(" \t\r\n", c))
            continue;
        int d = digit(c);
        if (d < 0)
            return false;
        if (high >= 0)
            data[n++] = (uint8_t)(high << 4 | d);
        high = high >= 0 ? -1 : d;
    }
    *size = n;
    return high < 0;
}

static bool ends_in(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

static bool write_raw(const char *path, const uint8_t *data, size_t size)
{
    char out[4096];
    const char *name = strrchr(path, '/');
    snprintf(out, sizeof(out), "%s/%s.bin", raw_dir, name ? name + 1 : path);
    FILE *f = fopen(out, "wb");
    if (!f)
        return false;
    bool ok = fwrite(data, 1, size, f) == size;
    return fclose(f) == 0 && ok;
}

/* The target gets a block of exactly the input's size, so that a sanitizer sees the first byte behind it. */
static const char *feed(const char *path)
{
    const char *why = NULL;
    uint8_t *exact = NULL, *text = malloc(INPUT_MAX);
    FILE *f = fopen(path, "rb");
    if (!f || !text) {
        why = "cannot be read";
        goto out;
    }
    size_t size = fread(text, 1, INPUT_MAX, f);
    if (ferror(f) || !feof(f)) {
        why = "cannot be read, or is too long";
        goto out;
    }
    if (ends_in(path, ".hex") && !unhex(text, &size)) {
        why = "is not hexadecimal";
        goto out;
    }
    if (raw_dir) {
        why = write_raw(path, text, size) ? NULL : "cannot be written";
        goto out;
    }
    exact = malloc(size ? size : 1);
    if (!exact) {
        why = "finds no memory";
        goto out;
    }
    memcpy(exact, text, size);
    LLVMFuzzerTestOneInput(exact, size);
out:
    if (f)
        fclose(f);
    free(exact);
    free(text);
    return why;
}

static void report(const char *path, const char *why)
{
    if (why)
        printf("# %s %s\n", path, why);
    printf("%sok %u - %s\n", why ? "not " : "", ++done, path);
    failed += why != NULL;
}

static void walk(const char *path)
{
    struct stat st;
    if (stat(path, &st) || !S_ISDIR(st.st_mode)) {
        report(path, feed(path));
        return;
    }
    struct dirent **names;
    int n = scandir(path, &names, NULL, alphasort);
    if (n < 0)
        report(path, "cannot be opened");
    for (int i = 0; i < n; i++) {
        char sub[4096];
        if (names[i]->d_name[0] != '.') {
            snprintf(sub, sizeof(sub), "%s/%s", path, names[i]->d_name);
            walk(sub);
        }
        free(names[i]);
    }
    if (n >= 0)
        free(names);
}

int main(int argc, char **argv)
{
    int first = 1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc > 2 && strcmp(argv[1], "--raw") == 0) {
        raw_dir = argv[2];
        first = 3;
    }
    if (argc <= first) {
        fprintf(stderr, "usage: %s [--raw DIR] FILE-OR-FOLDER...\n", argv[0]);
        return 2;
    }
    for (int i = first; i < argc; i++)
        walk(argv[i]);
    printf("1..%u\n", done);
    return failed || done == 0;
}
