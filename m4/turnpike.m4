# TP_ADD_FLAG(VARIABLE, FLAG, [LANGUAGE-INPUT]): appends FLAG to VARIABLE if the compiler and the linker take it without a warning.
AC_DEFUN([TP_ADD_FLAG], [
    AC_MSG_CHECKING([whether $CC takes $2])
    tp_save_CFLAGS=$CFLAGS
    CFLAGS="$CFLAGS -Werror $2"
    AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])],
                   [AC_MSG_RESULT([yes]); $1="$$1 $2"],
                   [AC_MSG_RESULT([no])])
    CFLAGS=$tp_save_CFLAGS
])

# TP_NEED_FLAG(VARIABLE, FLAG, REASON): the same, but it is an error when the flag is not taken.
AC_DEFUN([TP_NEED_FLAG], [
    tp_before=$$1
    TP_ADD_FLAG([$1], [$2])
    AS_VAR_IF([$1], ["$tp_before"], [AC_MSG_ERROR([$CC does not take $2: $3])])
])

# TP_FORTIFY(VARIABLE): -D_FORTIFY_SOURCE=2 when the compiler optimizes and nobody has set it already.
AC_DEFUN([TP_FORTIFY], [
    AC_MSG_CHECKING([whether to define _FORTIFY_SOURCE])
    AC_COMPILE_IFELSE([AC_LANG_SOURCE([[
#if !defined __OPTIMIZE__ || defined _FORTIFY_SOURCE
#error not wanted, or there already
#endif
int tp_fortify;
]])],
        [AC_MSG_RESULT([2]); $1="$$1 -D_FORTIFY_SOURCE=2"],
        [AC_MSG_RESULT([no: not optimizing, or it is defined already])])
])
