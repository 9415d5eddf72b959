/* Messages of a live session's client: the first byte says whether it is a binary one. What is taken for a frame must lie in the message. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "service/live_inner.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct mien_client_message m;
    if (n == 0) return 0;
    uint8_t *message = malloc(n);
    if (message == NULL) return 0;
    memcpy(message, data + 1, n - 1);
    message[n - 1] = 0;
    mien_live_read((data[0] & 1) != 0, message, n - 1, &m);
    if (m.kind == MIEN_SAID_FRAME) {
        assert(m.image >= message && m.image_size > 0 && m.image + m.image_size <= message + n - 1);
        assert(m.stamp_ms >= 0);
    }
    if (m.kind == MIEN_SAID_NONSENSE) assert(m.wrong != NULL && m.why != NULL);
    if (m.kind == MIEN_SAID_DONE) assert(strlen(m.challenge_id) <= 32);
    free(message);
    return 0;
}
