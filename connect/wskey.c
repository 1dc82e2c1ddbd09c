#include "connect/wskey.h"

#include <openssl/evp.h>
#include <string.h>

#include "base/err.h"
#include "base/random.h"

enum { SHA1_LEN = 20 };

int wskey_accept(char out[static WSKEY_ACCEPT + 1], const char *key, size_t len)
{
    static const char GUID[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    char text[WSKEY_LEN + sizeof(GUID)];
    unsigned char digest[SHA1_LEN];
    unsigned n = 0;

    if (len != WSKEY_LEN)
        return ERR_INVAL;
    memcpy(text, key, WSKEY_LEN);
    memcpy(text + WSKEY_LEN, GUID, sizeof(GUID));
    if (EVP_Digest(text, WSKEY_LEN + sizeof(GUID) - 1, digest, &n, EVP_sha1(), NULL) != 1 || n != sizeof(digest))
        return ERR_CRYPTO;
    base64_encode(out, digest, sizeof(digest));
    return 0;
}
