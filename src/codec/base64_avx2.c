/* Base64 decoding, 32 characters a step. See base64_loop.h for the contract and base64.c for the reference.
 *
 * A character is right when the bit of its upper half byte is set in the entry of its lower half byte. Within one upper half byte the values
 * are a run, so that value = character + offset of the upper half; only the character for 63 stands outside its run. Four values of six bits
 * then become three bytes by two multiply-adds and a shuffle. */
#include "codec/base64_loop.h"

#include <immintrin.h>

enum { BLOCK = 32, BLOCK_BYTES = 24, STORE_CHARACTERS = 44 /* the fewest whose bytes fill a store of 32 */ };

/* Which upper half bytes go with each lower one; bits: 1 is 2x, 2 is 3x, 4 is 4x, 8 is 5x, 16 is 6x, 32 is 7x. Letters and digits only. */
#define LOWER 8 | 2 | 32, 0x3e, 0x3e, 0x3e, 0x3e, 0x3e, 0x3e, 0x3e, 0x3e, 0x3e, 8 | 4 | 16 | 32, 4 | 16, 4 | 16, 4 | 16, 4 | 16, 4 | 16

struct constants {
    __m256i lower, upper, offset, for_63;
};

static struct constants constants_of(unsigned seen)
{
    unsigned char lower[16] = {LOWER};
    char for_62 = '+', for_63 = '/';
    if (seen == MIEN_BASE64_FOR_STANDARD) {
        lower['+' & 15] |= 1;
        lower['/' & 15] |= 1;
    } else if (seen == MIEN_BASE64_FOR_URL) {
        for_62 = '-';
        for_63 = '_';
        lower['-' & 15] |= 1;
        lower['_' & 15] |= 8;
    }
    return (struct constants){
        _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)lower)),
        _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 0, 1, 2, 4, 8, 16, 32, 0, 0, 0, 0, 0, 0, 0, 0)),
        _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 0, (char)(62 - for_62), 52 - '0', -'A', -'A', 26 - 'a', 26 - 'a', 0, 0, 0, 0, 0, 0, 0, 0)),
        _mm256_set1_epi8(for_63),
    };
}

/* Four values in each 32 bits to three bytes, 24 of them in the lower part of the result. */
static inline __m256i packed(__m256i values)
{
    const __m256i pairs = _mm256_maddubs_epi16(values, _mm256_set1_epi32(0x01400140));
    const __m256i threes = _mm256_madd_epi16(pairs, _mm256_set1_epi32(0x00011000));
    const __m256i order = _mm256_broadcastsi128_si256(_mm_setr_epi8(2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1));
    return _mm256_permutevar8x32_epi32(_mm256_shuffle_epi8(threes, order), _mm256_setr_epi32(0, 1, 2, 4, 5, 6, 3, 7));
}

size_t mien_base64_loop_avx2(const unsigned char *s, size_t n, unsigned char *out, unsigned seen)
{
    const struct constants k = constants_of(seen);
    const __m256i half = _mm256_set1_epi8(15), zero = _mm256_setzero_si256();
    size_t done = 0;
    for (; n - done >= STORE_CHARACTERS; done += BLOCK, out += BLOCK_BYTES) {
        const __m256i c = _mm256_loadu_si256((const __m256i *)(const void *)(s + done));
        const __m256i upper = _mm256_and_si256(_mm256_srli_epi32(c, 4), half);
        const __m256i allowed = _mm256_and_si256(_mm256_shuffle_epi8(k.lower, _mm256_and_si256(c, half)), _mm256_shuffle_epi8(k.upper, upper));
        if (_mm256_movemask_epi8(_mm256_cmpeq_epi8(allowed, zero)) != 0) break;
        const __m256i run = _mm256_add_epi8(c, _mm256_shuffle_epi8(k.offset, upper));
        const __m256i values = _mm256_blendv_epi8(run, _mm256_set1_epi8(63), _mm256_cmpeq_epi8(c, k.for_63));
        _mm256_storeu_si256((__m256i *)(void *)out, packed(values));
    }
    return done;
}
