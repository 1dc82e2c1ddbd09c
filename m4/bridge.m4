# TP_BRIDGE_NEEDS(PREFIX, MODULE, PACKAGE): one library of the bridge. The first that is missing leaves the bridge
# out, or ends configure where it was asked for by name.
AC_DEFUN([TP_BRIDGE_NEEDS], [
    AS_CASE([$tp_bridge], [yes], [
        PKG_CHECK_MODULES([$1], [$2], [], [
            AS_IF([test "$with_bridge" = yes], [AC_MSG_ERROR([--with-bridge=yes: $2 is missing: apt-get install $3])])
            tp_bridge="no: $3 is missing"
        ])
    ])
])
