/* Which addresses are public: everything that is in none of IANA's special-purpose registries (RFC 6890 and its successors). */
#include "net/fetch.h"

#include <string.h>

struct network {
    uint8_t prefix[16];
    int bits;
};

/* IANA IPv4 Special-Purpose Address Registry, multicast (RFC 5771) and reserved space. */
static const struct network V4[] = {
    {{0}, 8},              /* this network */
    {{10}, 8},             /* private */
    {{100, 64}, 10},       /* shared, RFC 6598 */
    {{127}, 8},            /* loopback */
    {{169, 254}, 16},      /* link-local, clouds' metadata */
    {{172, 16}, 12},       /* private */
    {{192, 0, 0}, 24},     /* protocol assignments */
    {{192, 0, 2}, 24},     /* documentation */
    {{192, 31, 196}, 24},  /* AS112 */
    {{192, 52, 193}, 24},  /* AMT */
    {{192, 88, 99}, 24},   /* 6to4 relays */
    {{192, 168}, 16},      /* private */
    {{192, 175, 48}, 24},  /* AS112 */
    {{198, 18}, 15},       /* benchmarks */
    {{198, 51, 100}, 24},  /* documentation */
    {{203, 0, 113}, 24},   /* documentation */
    {{224}, 4},            /* multicast */
    {{240}, 4},            /* reserved, broadcast */
};
/* IPv6: what is global unicast is 2000::/3; these are special inside of it. */
static const struct network V6[] = {
    {{0x20, 0x01, 0x00}, 23},       /* protocol assignments: Teredo, ORCHID, benchmarks */
    {{0x20, 0x01, 0x0d, 0xb8}, 32}, /* documentation */
    {{0x3f, 0xff}, 20},             /* documentation */
    {{0x26, 0x20, 0x00, 0x4f, 0x80, 0x00}, 48}, /* AS112 */
};
static const struct network GLOBAL_V6 = {{0x20}, 3}, SIX_TO_FOUR = {{0x20, 0x02}, 16}, TEREDO = {{0x20, 0x01, 0x00, 0x00}, 32},
                            NAT64 = {{0x00, 0x64, 0xff, 0x9b}, 96}, MAPPED = {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96}, COMPATIBLE = {{0}, 96};

static bool is_in(const uint8_t *ip, const struct network *n)
{
    const int whole = n->bits / 8, rest = n->bits % 8;
    if (memcmp(ip, n->prefix, (size_t)whole) != 0) return false;
    return rest == 0 || ((ip[whole] ^ n->prefix[whole]) >> (8 - rest)) == 0;
}

static bool v4_is_public(const uint8_t *ip)
{
    for (size_t i = 0; i < sizeof V4 / sizeof V4[0]; i++)
        if (is_in(ip, &V4[i])) return false;
    return true;
}

static bool v6_is_public(const uint8_t *ip)
{
    static const uint8_t loopback[16] = {[15] = 1};
    uint8_t hidden[4];
    if (memcmp(ip, loopback, sizeof loopback) == 0) return false;
    if (is_in(ip, &MAPPED) || is_in(ip, &COMPATIBLE) || is_in(ip, &NAT64)) return v4_is_public(ip + 12);
    if (is_in(ip, &SIX_TO_FOUR)) return v4_is_public(ip + 2);
    if (is_in(ip, &TEREDO)) { /* the client's address, every bit flipped (RFC 4380) */
        for (int i = 0; i < 4; i++) hidden[i] = (uint8_t)~ip[12 + i];
        return v4_is_public(ip + 4) && v4_is_public(hidden);
    }
    for (size_t i = 0; i < sizeof V6 / sizeof V6[0]; i++)
        if (is_in(ip, &V6[i])) return false;
    return is_in(ip, &GLOBAL_V6);
}

bool mien_address_is_public(const uint8_t *ip, int bytes) { return bytes == 4 ? v4_is_public(ip) : v6_is_public(ip); }
