/* Fetches images by URL under an address guard. libcurl stays inside fetch.c.
 *
 * The guard looks at the address that a socket is about to connect to, after name resolution and for every redirect, so that neither a DNS name of
 * loopback nor a name that resolves differently the second time gets through. No proxy, no credentials, no cookies, http and https only. */
#ifndef MIEN_NET_FETCH_H
#define MIEN_NET_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

struct mien_fetch_settings {
    const char *hosts;    /* comma-separated host names, "*.example.org" for all below a domain, "*" for all; NULL or "": nothing is fetched */
    const char *networks; /* comma-separated networks ("10.1.0.0/16", "fd00::/8") that are fetched from although they are not public; default none */
    size_t max_bytes;     /* of the body; default 10 MiB */
    int timeout_ms;       /* for everything together; default 15,000 */
    int max_redirects;    /* default 3; each is checked like the first URL */
};
#define MIEN_FETCH_DEFAULT ((struct mien_fetch_settings){.max_bytes = 10u << 20, .timeout_ms = 15000, .max_redirects = 3})

struct mien_fetch; /* opaque; thread-safe */

/* MIEN_E_CONFIG when hosts or networks are malformed. */
enum mien_code mien_fetch_create(const struct mien_fetch_settings *s, struct mien_fetch **out, struct mien_err *e) MIEN_MUST_CHECK;
void mien_fetch_free(struct mien_fetch **f);

/* Without touching the network: whether the URL's scheme and host are allowed. MIEN_E_URL_REFUSED otherwise. */
enum mien_code mien_fetch_allowed(const struct mien_fetch *f, const char *url, struct mien_err *e) MIEN_MUST_CHECK;

/* *out is malloc'ed, the caller wipes and frees. MIEN_E_URL_REFUSED (guard), MIEN_E_IMAGE_LIMIT (too many bytes), MIEN_E_URL_FETCH (anything else). The
 * message never holds the URL's path or query. */
enum mien_code mien_fetch_get(struct mien_fetch *f, const char *url, unsigned char **out, size_t *n, struct mien_err *e) MIEN_MUST_CHECK;

/* Whether an address is public (IANA special-purpose registries, RFC 6890): not loopback, private, link-local, shared, documentation, multicast, reserved,
 * and for IPv6 forms that embed IPv4 (mapped, compatible, 6to4, NAT64, Teredo) the embedded address is public too. `ip` is 4 or 16 bytes. */
bool mien_address_is_public(const uint8_t *ip, int bytes);

#endif
