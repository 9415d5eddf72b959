/* The HTTP service: the route table over the models, as a handler for net's server. */
#ifndef MIEN_SERVICE_SERVICE_H
#define MIEN_SERVICE_SERVICE_H

#include "face/models.h"
#include "gallery/gallery.h"
#include "liveness/fusion.h"
#include "net/fetch.h"
#include "net/server.h"
#include "service/live.h"
#include "store/redis.h"

struct mien_service_settings {
    int workers;                  /* sessions to make; the server's */
    /* images */
    size_t max_image_bytes;       /* encoded, per image; default 10 MiB */
    uint64_t max_image_pixels;    /* default 50 million */
    int max_images;               /* per request; default 20 */
    size_t max_request_bytes;     /* decoded images of a request together, 64 MiB; the body may be 4/3 of it and 1 MiB more */
    struct mien_fetch_settings fetch; /* fetch.hosts NULL: URLs are off */
    /* verdicts */
    float antispoof_threshold;    /* default 0.3 */
    float match_threshold;        /* cosine; NAN (default) = the model's own */
    float min_score;              /* detection; 0 = the detector's own */
    int detection_size;           /* longer side that photos are searched at first, a multiple of 32; 0 = the detector's own */
    /* gallery; borrowed, both outlive the service */
    struct mien_gallery *gallery; /* NULL: its routes answer 503 */
    struct mien_redis *redis;     /* NULL: frames of a session and rate limits are kept in memory */
    float quality_threshold;      /* least quality of a face that is enrolled from one photo; default 0.3 */
    struct mien_fusion_settings fusion;
    const char *facebank;         /* path of the CSV file of /main and /identity; NULL = none */
    const char *spoof_log;        /* path of the CSV file that spoofs are appended to; NULL = none */
    struct mien_live_settings live; /* live sessions */
    /* access */
    const char *api_keys;         /* entries [NAME:]KEY[=SCOPE,SCOPE...] separated by blanks or ';'; docs/server.md */
    const char *api_keys_file;    /* one entry a line, # comments; NULL = none */
    const char *cors_origins;     /* comma-separated origins, or "*"; default "" */
    const char *trusted_proxies;  /* comma-separated addresses whose X-Forwarded-For is believed; default "" */
    const char *allowed_hosts;    /* comma-separated Host names besides loopback's that are answered while no key is configured */
    double rate_limit;            /* requests a second of a key, or of an address without one; 0 (default) = no limit */
    int rate_burst;               /* default 20 */
    const char *web_dir;          /* built pages (docs viewer); NULL = none */
};
void mien_service_settings_default(struct mien_service_settings *s);

struct mien_service;

/* Makes sessions, opens the networks that the routes use (so that the first request does not pay) and reads the keys. MIEN_E_CONFIG names the value that is
 * wrong. Texts of the settings must outlive the service. */
enum mien_code mien_service_create(const struct mien_service_settings *s, struct mien_models *models, struct mien_service **out,
                                   struct mien_err *e) MIEN_MUST_CHECK;
void mien_service_free(struct mien_service **s); /* after the server has stopped */

const struct mien_http_handler *mien_service_handler(struct mien_service *s);
/* The server that the handler was given to: for /metrics and /readyz. NULL before it has started and once it stops. */
void mien_service_attach(struct mien_service *s, struct mien_server *server);
/* Stopping has begun: /readyz answers 503. */
void mien_service_stopping(struct mien_service *s);
/* Whether any key is configured; without one only loopback may be listened on. */
bool mien_service_has_keys(const struct mien_service *s);

/* The OpenAPI 3.1 document of the table, without a server running (mien openapi). */
enum mien_code mien_service_openapi(struct mien_buf *out, struct mien_err *e) MIEN_MUST_CHECK;

#endif
