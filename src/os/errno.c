/* SPDX-License-Identifier: Apache-2.0 */
/* errno.c: the system's error numbers become ours here, and go no higher.
 *
 * libuv's codes are negated errnos, and numbers of its own for name lookups: both are taken.
 *
 * Thread       any.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "os/internal.h"

int oak_os_error(int number)
{
    switch (number < 0 ? -number : number) {
    case 0:
        return 0;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return OAK_ENOSPC;
    case ENOENT:
        return OAK_ENOENT;
    case EEXIST:
    case ENOTEMPTY:
        return OAK_EEXIST;
    case EACCES:
    case EPERM:
    case EROFS:
        return OAK_EPERM;
    case ENOTDIR:
    case EISDIR:
    case EINVAL:
    case ENAMETOOLONG:
    case ELOOP:
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT:
        return OAK_EINVAL;
    case ENOMEM:
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case -UV_EAI_MEMORY:
        return OAK_ENOMEM;
    case EADDRINUSE:
        return OAK_EINUSE;
    case ECONNREFUSED:
        return OAK_EREFUSED;
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ENETDOWN:
    case EHOSTDOWN:
        return OAK_EUNREACHABLE;
    case ETIMEDOUT:
        return OAK_EDEADLINE;
    case ECONNRESET:
    case ECONNABORTED:
    case EPIPE:
    case ENOTCONN:
    case ESHUTDOWN:
    case ECANCELED:
        return OAK_ECLOSED;
    case -UV_EAI_ADDRFAMILY:
    case -UV_EAI_AGAIN:
    case -UV_EAI_FAIL:
    case -UV_EAI_FAMILY:
    case -UV_EAI_NODATA:
    case -UV_EAI_NONAME:
    case -UV_EAI_SERVICE:
        return OAK_EUNRESOLVED;
    default:
        return OAK_EIO;
    }
}

const char *oak_os_errno_text(int number, char *out, size_t size)
{
    OAK_ASSERT(size > 0);
    const char *text = strerror_r(number < 0 ? -number : number, out, size);
    if (text != out) {
        snprintf(out, size, "%s", text);
    }
    return out;
}
