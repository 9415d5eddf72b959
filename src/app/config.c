/* The configuration table and its three sources. */
#include "app/config.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/thread.h"

enum kind { TEXT, SECRET, WHOLE, BYTES, REAL, MILLISECONDS /* given in seconds */, SWITCH, CHOICE, WEIGHTS /* NAME=NUMBER,... */ };

struct row {
    const char *name, *also; /* `also`: another name of it in the environment and the file, or NULL */
    enum kind kind;
    const char *otherwise, *unit;
    double low, high;    /* numbers */
    const char *choices; /* CHOICE: "a|b"; WEIGHTS: the names, in the order of the numbers that begin at `at` */
    size_t at;           /* in struct mien_serve_settings */
    const char *help;
};

#define SERVER(member) offsetof(struct mien_serve_settings, server.member)
#define SERVICE(member) offsetof(struct mien_serve_settings, service.member)
#define FUSION(member) SERVICE(fusion.member)
#define LIVE(member) SERVICE(live.member)
#define OWN(member) offsetof(struct mien_serve_settings, member)

static const struct row TABLE[] = {
    {"HOST", "API_HOST", TEXT, "127.0.0.1", NULL, 0, 0, NULL, SERVER(host), "Address to listen on. Anything but loopback needs a key (API_KEYS)."},
    {"PORT", "API_PORT", WHOLE, "8000", NULL, 0, 65535, NULL, SERVER(port), "Port to listen on; 0 lets the system choose."},
    {"DATA_DIR", NULL, TEXT, "", NULL, 0, 0, NULL, OWN(data_dir),
     "Folder of everything that the server writes; made with mode 0700. Default: $STATE_DIRECTORY, else $XDG_DATA_HOME/mien, else ~/.local/share/mien."},
    {"WORKERS", NULL, WHOLE, "0", "threads", 0, 256, NULL, SERVER(workers), "Requests that are computed at the same time; 0 = one for each processor."},
    {"QUEUE_LIMIT", NULL, WHOLE, "64", "requests", 0, 100000, NULL, SERVER(queue_limit), "Requests that wait for a worker; beyond, 503 with Retry-After."},
    {"MAX_CONNECTIONS", NULL, WHOLE, "1024", NULL, 1, 100000, NULL, SERVER(max_connections), "Open connections; beyond, new ones are closed."},
    {"MAX_CONNECTIONS_PER_ADDRESS", NULL, WHOLE, "64", NULL, 1, 100000, NULL, SERVER(max_connections_per_address),
     "The same for one address, trusted proxies excepted."},
    {"MAX_BODY_MEMORY", NULL, BYTES, "536870912", "bytes", 1 << 20, 1e12, NULL, SERVER(max_body_memory),
     "Request bodies that are held at the same time, all together."},
    {"HEADER_TIMEOUT", NULL, MILLISECONDS, "30", "seconds", 0.1, 3600, NULL, SERVER(header_timeout_ms),
     "For the headers of a request, idle time before them included."},
    {"BODY_TIMEOUT", NULL, MILLISECONDS, "30", "seconds", 0.1, 3600, NULL, SERVER(body_timeout_ms), "For the body of a request."},
    {"RESPONSE_TIMEOUT", NULL, MILLISECONDS, "30", "seconds", 0.1, 3600, NULL, SERVER(response_timeout_ms), "For the client to take the answer."},
    {"STOP_TIMEOUT", NULL, MILLISECONDS, "10", "seconds", 0, 600, NULL, SERVER(stop_timeout_ms), "For running requests to end after SIGTERM."},
    {"MAX_IMAGE_BYTES", NULL, BYTES, "10485760", "bytes", 1024, 1 << 30, NULL, SERVICE(max_image_bytes), "Size of one image file."},
    {"MAX_IMAGE_PIXELS", NULL, BYTES, "50000000", "pixels", 1024, 1 << 30, NULL, SERVICE(max_image_pixels),
     "Width x height of one image, checked before it is decoded."},
    {"MAX_IMAGES", NULL, WHOLE, "20", "images", 1, 1000, NULL, SERVICE(max_images), "Images in one request."},
    {"MAX_REQUEST_BYTES", NULL, BYTES, "67108864", "bytes", 1024, 1 << 30, NULL, SERVICE(max_request_bytes), "Image files of one request together."},
    {"IMAGE_URL_ALLOW", NULL, TEXT, "", NULL, 0, 0, NULL, SERVICE(fetch.hosts),
     "Hosts that images are fetched from: names, *.domain, or * for all; separated by commas. Empty: none."},
    {"IMAGE_URL_NETWORKS", NULL, TEXT, "", NULL, 0, 0, NULL, SERVICE(fetch.networks),
     "Networks that are fetched from although they are not public, such as 10.1.0.0/16; separated by commas."},
    {"IMAGE_URL_TIMEOUT", NULL, MILLISECONDS, "15", "seconds", 0.1, 600, NULL, SERVICE(fetch.timeout_ms), "For fetching one image, redirects included."},
    {"ANTISPOOF_THRESHOLD", NULL, REAL, "0.3", NULL, 0, 1, NULL, SERVICE(antispoof_threshold), "Least anti-spoof score of a live capture."},
    {"MATCH_THRESHOLD", NULL, REAL, "", "cosine", -1, 1, NULL, SERVICE(match_threshold), "Least similarity of a match. Default: the recognition model's own."},
    {"DETECTION_SIZE", NULL, WHOLE, "0", "pixels", 0, 1920, NULL, SERVICE(detection_size),
     "Longer side that photos are searched at first, a multiple of 32; 0 = the detector's own (640)."},
    {"QUALITY_THRESHOLD", NULL, REAL, "0.3", NULL, 0, 1, NULL, SERVICE(quality_threshold), "Least quality of a face that is enrolled from one photo."},
    {"BIOMETRIC_TEMPLATE_KEY", NULL, SECRET, "", NULL, 0, 0, NULL, OWN(template_key),
     "Key that templates are sealed under, 64 hexadecimal digits. Empty: the first one in DATA_DIR/template.keys, which is made when it is not there."},
    {"BIOMETRIC_TEMPLATE_KEY_PREVIOUS", NULL, SECRET, "", NULL, 0, 0, NULL, OWN(template_key_previous),
     "Older keys that still open templates, separated by commas; `mien keys rotate` seals everything under the current one."},
    {"BIOMETRIC_TEMPLATE_SALT", NULL, SECRET, "", NULL, 0, 0, NULL, OWN(template_salt),
     "Text that is mixed into the keys; part of them from the first template on."},
    {"REDIS_URL", NULL, SECRET, "", NULL, 0, 0, NULL, OWN(redis_url),
     "redis://[USER[:PASSWORD]@]HOST[:PORT][/DATABASE] that holds gallery, sessions, nonces and rate limits of several servers. "
     "Empty: DATA_DIR/gallery.db and memory."},
    {"ENROLLMENT_MIN_SAMPLES", NULL, WHOLE, "3", "images", 1, 1000, NULL, FUSION(enroll_min_samples), "Least number of `images` of an enrolment."},
    {"ENROLL_LIVENESS_THRESHOLD", NULL, REAL, "0.5", NULL, 0, 1, NULL, FUSION(enroll_liveness), "Frames below are not used for an enrolment."},
    {"VERIFY_LIVENESS_THRESHOLD", NULL, REAL, "0.4", NULL, 0, 1, NULL, FUSION(verify_liveness), "Frames below are not used for a verification."},
    {"ACCEPT_THRESHOLD", NULL, REAL, "0.85", NULL, 0, 1, NULL, FUSION(accept), "Fused score from which on a verification is accepted."},
    {"REJECT_THRESHOLD", NULL, REAL, "0.45", NULL, 0, 1, NULL, FUSION(reject), "Fused score up to which it is rejected; between the two: re_verify."},
    {"FUSION_WEIGHTS", NULL, WEIGHTS, "rgb=0.40,depth=0.25,liveness=0.20,motion=0.15", NULL, 0, 1, "rgb|depth|liveness|motion", FUSION(weight_rgb),
     "Weights of the fused score; those of what is missing are shared out among the rest."},
    {"LIVENESS_WEIGHTS", NULL, WEIGHTS, "depth=0.25,motion=0.35,blink=0.25,texture=0.15,antispoof=0.50", NULL, 0, 1, "depth|motion|blink|texture|antispoof",
     FUSION(live_depth), "Weights of the liveness score, likewise."},
    {"TEXTURE_SPOOF_THRESHOLD", NULL, REAL, "0.35", NULL, 0, 1, NULL, FUSION(texture_spoof_threshold), "Texture below it caps the liveness score at 0.4."},
    {"DEPTH_CONSISTENCY_THRESHOLD", NULL, REAL, "0.12", NULL, 0, 1, NULL, FUSION(depth_consistency_threshold),
     "Relief from which on a face counts as not flat."},
    {"MICRO_MOTION_MIN_VARIANCE", NULL, REAL, "0.0001", NULL, 0, 1, NULL, FUSION(micro_motion_min_variance), "Movement below it is noise."},
    {"EMBEDDING_MODEL", NULL, TEXT, "", NULL, 0, 0, NULL, OWN(embedding_model), "Only the recognition model of the installed pack, or empty."},
    {"EMBEDDING_DIM", NULL, WHOLE, "0", "numbers", 0, 1024, NULL, OWN(embedding_dim), "Only that model's, or 0."},
    {"ENCRYPT_TEMPLATES", NULL, SWITCH, "true", NULL, 0, 0, NULL, OWN(encrypt_templates), "Only true: templates are always sealed."},
    {"NEVER_STORE_RAW_IMAGES", NULL, SWITCH, "true", NULL, 0, 0, NULL, OWN(never_store_raw_images), "Only true: photos are never stored."},
    {"DATA_FOLDER", NULL, TEXT, "", NULL, 0, 0, NULL, OWN(data_folder), "Folder of FACEBANK, RESNET, DEEPPIX and spoof_log.csv. Default: DATA_DIR."},
    {"FACEBANK", NULL, TEXT, "", NULL, 0, 0, NULL, OWN(facebank),
     "File of /main and /identity, in DATA_FOLDER: one embedding a row; read again when it changes. Default: facebank.csv, which may come later."},
    {"RESNET", NULL, TEXT, "", NULL, 0, 0, NULL, OWN(resnet),
     "ONNX file of a recognition network, in DATA_FOLDER, that takes the place of the pack's in all routes; models/README.md says which are known and how to "
     "describe others. Empty: the pack's."},
    {"DEEPPIX", NULL, TEXT, "", NULL, 0, 0, NULL, OWN(deeppix), "ONNX file of an anti-spoofing network, likewise."},
    {"SESSION_TIMEOUT_SECONDS", NULL, MILLISECONDS, "120", "seconds", 5, 3600, NULL, LIVE(rules.session_ms), "A live session lasts so long at most."},
    {"MAX_SESSIONS", NULL, WHOLE, "1000", "sessions", 1, 100000, NULL, LIVE(max_sessions), "Live sessions at one time; beyond, new ones are refused."},
    {"JWT_EXPIRY_MINUTES", NULL, WHOLE, "15", "minutes", 1, 1440, NULL, LIVE(token_minutes), "For how long the token of a passed live session is valid."},
    {"JWT_AUDIENCE", NULL, TEXT, "", NULL, 0, 0, NULL, LIVE(audience), "What its claim aud says, and what /token/validate asks for. Empty: no such claim."},
    {"JWT_KEYS_DIR", NULL, TEXT, "", NULL, 0, 0, NULL, OWN(jwt_keys_dir),
     "Folder of the keys that sign tokens, for several servers a common one; made when it is not there. Default: DATA_DIR/jwt."},
    {"DATABASE_URL", NULL, TEXT, "", NULL, 0, 0, NULL, OWN(database_url),
     "sqlite:///PATH of live sessions' records and the audit log; nothing biometric. Default: DATA_DIR/ledger.db."},
    {"AUDIT_RETENTION_DAYS", NULL, WHOLE, "90", "days", 1, 36500, NULL, OWN(audit_retention_days), "What is older goes from the audit log."},
    {"TEST_CHALLENGES", NULL, TEXT, "", NULL, 0, 0, NULL, OWN(test_challenges),
     "Tests only: these challenges in this order (blink,smile,...). Refused unless MIEN_UNDER_TEST=1 is in the environment and HOST is loopback."},
    {"API_KEYS", NULL, SECRET, "", NULL, 0, 0, NULL, SERVICE(api_keys),
     "Keys: [NAME:]KEY[=SCOPE,...] separated by blanks or ';'. Scopes: analyze, gallery:read, gallery:write, session, admin; none = all."},
    {"API_KEYS_FILE", NULL, TEXT, "", NULL, 0, 0, NULL, SERVICE(api_keys_file), "File with one such entry a line, readable by its owner only."},
    {"CORS_ORIGINS", NULL, TEXT, "", NULL, 0, 0, NULL, SERVICE(cors_origins), "Origins whose pages may call the API, separated by commas, or *."},
    {"TRUSTED_PROXIES", NULL, TEXT, "", NULL, 0, 0, NULL, SERVICE(trusted_proxies),
     "Addresses of proxies whose X-Forwarded-For is believed, separated by commas."},
    {"ALLOWED_HOSTS", NULL, TEXT, "", NULL, 0, 0, NULL, SERVICE(allowed_hosts),
     "Host names that are answered, besides loopback's, while no key is configured."},
    {"RATE_LIMIT", NULL, REAL, "0", "requests a second", 0, 1e6, NULL, SERVICE(rate_limit), "For each key, or address without one; 0 = no limit."},
    {"RATE_BURST", NULL, WHOLE, "20", "requests", 1, 1000000, NULL, SERVICE(rate_burst), "Requests that may come at once before RATE_LIMIT holds them back."},
    {"WEB_DIR", NULL, TEXT, "", NULL, 0, 0, NULL, SERVICE(web_dir), "Folder of the web pages. Default: build/web of the checkout that the program stands in."},
    {"USE_GPU", NULL, SWITCH, "false", NULL, 0, 0, NULL, OWN(use_gpu), "Only false: mien runs on the processor."},
    {"LOG_LEVEL", "MIEN_LOG", CHOICE, "info", NULL, 0, 0, "debug|info|warn|error|off", OWN(log_level), "What is logged to standard error."},
};
enum { ROWS = sizeof TABLE / sizeof TABLE[0], FILE_BYTES = 1 << 20 };

struct value {
    char *text;      /* NULL = default */
    char origin[96]; /* "flag --port", "environment PORT", "/etc/mien.conf:3" */
};

struct mien_config {
    struct value value[ROWS];
};

/* ---- lists of words ---- */

static const char *next_choice(const char *at)
{
    at = strchr(at, '|');
    return at != NULL ? at + 1 : NULL;
}

/* Which of "a|b" the n characters are; -1: none. */
static int choice_index(const char *choices, const char *text, size_t n)
{
    int i = 0;
    for (const char *at = choices; at != NULL; at = next_choice(at), i++)
        if (n > 0 && strcspn(at, "|") == n && memcmp(at, text, n) == 0) return i;
    return -1;
}

static bool is_choice(const char *choices, const char *text) { return choice_index(choices, text, strlen(text)) >= 0; }

/* ---- sources ---- */

static void set(struct value *v, const char *text, const char *origin)
{
    free(v->text);
    v->text = strdup(text);
    snprintf(v->origin, sizeof v->origin, "%s", origin);
}

static int row_by_name(const char *name, size_t n)
{
    for (int i = 0; i < ROWS; i++)
        if ((strlen(TABLE[i].name) == n && memcmp(TABLE[i].name, name, n) == 0) ||
            (TABLE[i].also != NULL && strlen(TABLE[i].also) == n && memcmp(TABLE[i].also, name, n) == 0))
            return i;
    return -1;
}

/* PORT -> "port", MAX_IMAGES -> "max-images". */
static void flag_name(const struct row *r, char out[40])
{
    size_t i = 0;
    for (; r->name[i] != '\0' && i < 39; i++) out[i] = r->name[i] == '_' ? '-' : (char)tolower((unsigned char)r->name[i]);
    out[i] = '\0';
}

static void trim(const char **s, size_t *n)
{
    while (*n > 0 && isspace((unsigned char)**s)) {
        (*s)++;
        (*n)--;
    }
    while (*n > 0 && isspace((unsigned char)(*s)[*n - 1])) (*n)--;
}

static enum mien_code read_line(struct mien_config *c, const char *path, int number, const char *line, size_t n, struct mien_err *e)
{
    char text[4096], origin[96];
    trim(&line, &n);
    if (n == 0 || line[0] == '#') return MIEN_OK;
    const char *equals = memchr(line, '=', n);
    MIEN_FAIL_IF(equals == NULL, e, MIEN_E_CONFIG, "%s:%d: not NAME=VALUE", path, number);
    size_t name_n = (size_t)(equals - line), value_n = n - name_n - 1;
    const char *name = line, *value = equals + 1;
    trim(&name, &name_n);
    trim(&value, &value_n);
    const int i = row_by_name(name, name_n);
    MIEN_FAIL_IF(i < 0, e, MIEN_E_CONFIG, "%s:%d: unknown name '%.*s'; see mien config --help", path, number, (int)name_n, name);
    MIEN_FAIL_IF(value_n >= sizeof text, e, MIEN_E_CONFIG, "%s:%d: %s: the value is too long", path, number, TABLE[i].name);
    memcpy(text, value, value_n);
    text[value_n] = '\0';
    MIEN_FAIL_IF(c->value[i].text != NULL, e, MIEN_E_CONFIG, "%s:%d: %s is set twice (before at %s)", path, number, TABLE[i].name, c->value[i].origin);
    snprintf(origin, sizeof origin, "%.80s:%d", path, number);
    set(&c->value[i], text, origin);
    explicit_bzero(text, sizeof text);
    return MIEN_OK;
}

static bool holds_secret(const struct mien_config *c)
{
    for (int i = 0; i < ROWS; i++)
        if (TABLE[i].kind == SECRET && c->value[i].text != NULL && c->value[i].text[0] != '\0') return true;
    return false;
}

static enum mien_code read_file(struct mien_config *c, const char *path, struct mien_err *e)
{
    unsigned char *text;
    size_t n;
    enum mien_code code = MIEN_OK;
    MIEN_TRY(mien_file_read(path, FILE_BYTES, &text, &n, e));
    const char *at = (const char *)text, *end = at + n;
    for (int number = 1; at < end && code == MIEN_OK; number++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at)), *stop = newline != NULL ? newline : end;
        code = read_line(c, path, number, at, (size_t)(stop - at), e);
        at = stop + 1;
    }
    explicit_bzero(text, n);
    free(text);
    if (code == MIEN_OK && holds_secret(c) && !mien_file_is_private(path))
        code = MIEN_FAIL(e, MIEN_E_CONFIG, "%s holds keys and can be read by others: chmod 600 it", path);
    return code;
}

static void read_environment(struct mien_config *c)
{
    for (int i = 0; i < ROWS; i++) {
        const char *names[2] = {TABLE[i].also, TABLE[i].name}; /* the first name wins */
        for (int k = 0; k < 2; k++) {
            char origin[96];
            const char *text = names[k] != NULL ? getenv(names[k]) : NULL;
            if (text == NULL || text[0] == '\0') continue; /* empty is how compose files and unit files leave a name out */
            snprintf(origin, sizeof origin, "environment %s", names[k]);
            set(&c->value[i], text, origin);
        }
    }
}

static enum mien_code read_all(struct mien_config *c, const char *file, const char *const *flag, struct mien_err *e)
{
    if (file == NULL) file = getenv("MIEN_CONFIG");
    if (file != NULL && file[0] != '\0') MIEN_TRY(read_file(c, file, e));
    read_environment(c);
    for (int i = 0; i < ROWS; i++) {
        char name[40], origin[96];
        if (flag[i] == NULL) continue;
        flag_name(&TABLE[i], name);
        snprintf(origin, sizeof origin, "flag --%s", name);
        set(&c->value[i], flag[i], origin);
    }
    return MIEN_OK;
}

int mien_config_read(struct mien_cli *cli, int argc, char **argv, const struct mien_opt *own, int n_own, struct mien_config **out)
{
    int first;
    return mien_config_read_with(cli, argc, argv, own, n_own, NULL, 0, 0, &first, out);
}

int mien_config_read_with(struct mien_cli *cli, int argc, char **argv, const struct mien_opt *own, int n_own, const char *names, int at_least, int at_most,
                          int *first, struct mien_config **out)
{
    static char name[ROWS][40];
    const char *flag[ROWS] = {NULL}, *file = NULL;
    struct mien_opt opts[ROWS + 8];
    struct mien_err e = {0};
    int n = 0;
    *out = NULL;
    for (int i = 0; i < n_own; i++) opts[n++] = own[i];
    opts[n++] = (struct mien_opt){"config", MIEN_OPT_TEXT, &file, "FILE", "lines NAME=VALUE with the names of `mien config` (default: $MIEN_CONFIG)", 0, 0};
    for (int i = 0; i < ROWS; i++) {
        if (names != NULL && !is_choice(names, TABLE[i].name)) continue;
        flag_name(&TABLE[i], name[i]);
        opts[n++] = (struct mien_opt){name[i], MIEN_OPT_TEXT, &flag[i], TABLE[i].name, TABLE[i].help, 0, 0};
    }
    int status = mien_cli_parse(cli, argc, argv, opts, n, at_least, at_most, first);
    if (status >= 0) return status;
    struct mien_config *c = calloc(1, sizeof *c);
    if (c == NULL) return mien_cli_error("out of memory");
    if (read_all(c, file, flag, &e) != MIEN_OK) {
        mien_config_free(&c);
        return mien_cli_fail(&e);
    }
    *out = c;
    return -1;
}

void mien_config_free(struct mien_config **c)
{
    if (c == NULL || *c == NULL) return;
    for (int i = 0; i < ROWS; i++) {
        char *text = (*c)->value[i].text;
        if (text != NULL) explicit_bzero(text, strlen(text));
        free(text);
    }
    free(*c);
    *c = NULL;
}

/* ---- values ---- */

static const char *text_of(const struct mien_config *c, int i) { return c->value[i].text != NULL ? c->value[i].text : TABLE[i].otherwise; }

static bool number_of(const struct row *r, const char *text, double *v)
{
    char *end;
    errno = 0;
    *v = strtod(text, &end);
    const bool whole = r->kind == WHOLE || r->kind == BYTES;
    if (text[strspn(text, "+-.0123456789eE")] != '\0') return false; /* strtod takes hexadecimal, blanks and names as well */
    return end != text && *end == '\0' && errno == 0 && isfinite(*v) && (!whole || *v == floor(*v)) && *v >= r->low && *v <= r->high;
}

/* One NAME=NUMBER of n characters; `seen` has a bit for each name. */
static bool weight_of(const struct row *r, const char *text, size_t n, unsigned *seen, float *to)
{
    const struct row number = {.kind = REAL, .low = r->low, .high = r->high};
    char value[32];
    double v;
    const char *equals = memchr(text, '=', n);
    const int i = equals != NULL ? choice_index(r->choices, text, (size_t)(equals - text)) : -1;
    if (i < 0 || (*seen & 1u << i) != 0 || (size_t)(text + n - equals) > sizeof value) return false;
    snprintf(value, sizeof value, "%.*s", (int)(text + n - equals - 1), equals + 1);
    *seen |= 1u << i;
    if (!number_of(&number, value, &v)) return false;
    to[i] = (float)v;
    return true;
}

/* "rgb=0.4,depth=0.6": each of the names once, in any order, not all of them 0. */
static bool weights_of(const struct row *r, const char *text, float *to)
{
    unsigned seen = 0;
    float sum = 0.0f;
    for (const char *at = text; at != NULL; at = strchr(at, ','), at = at != NULL ? at + 1 : NULL)
        if (!weight_of(r, at, strcspn(at, ","), &seen, to)) return false;
    int names = 0;
    for (const char *at = r->choices; at != NULL; at = next_choice(at)) sum += to[names++];
    return seen == (1u << names) - 1 && sum > 0.0f;
}

static const char *accepted(const struct row *r, char room[120])
{
    if (r->kind == SWITCH) snprintf(room, 120, "true or false");
    else if (r->kind == CHOICE) snprintf(room, 120, "one of %s", r->choices);
    else if (r->kind == WEIGHTS) snprintf(room, 120, "NAME=NUMBER for each of %s, separated by commas", r->choices);
    else
        snprintf(room, 120, "a %snumber from %.15g to %.15g%s%s", r->kind == WHOLE || r->kind == BYTES ? "whole " : "", r->low, r->high,
                 r->unit != NULL ? " " : "", r->unit != NULL ? r->unit : "");
    return room;
}

/* Writes the value where the row says. False when the text is not accepted. */
static bool store(const struct row *r, const char *text, struct mien_serve_settings *out)
{
    void *to = (char *)out + r->at;
    double v = 0;
    switch (r->kind) {
    case TEXT:
    case SECRET:
        *(const char **)to = text;
        return true;
    case CHOICE:
        *(const char **)to = text;
        return is_choice(r->choices, text);
    case SWITCH:
        *(bool *)to = strcmp(text, "true") == 0 || strcmp(text, "1") == 0;
        return is_choice("true|false|1|0", text);
    case WEIGHTS:
        return weights_of(r, text, to);
    default:
        break;
    }
    if (!number_of(r, text, &v)) return false;
    if (r->kind == WHOLE) *(int *)to = (int)v;
    else if (r->kind == BYTES) *(size_t *)to = (size_t)v;
    else if (r->kind == MILLISECONDS) *(int *)to = (int)lround(v * 1000.0);
    else if (r->at == SERVICE(rate_limit)) *(double *)to = v;
    else *(float *)to = (float)v;
    return true;
}

static enum mien_code cannot_be_honoured(const struct mien_serve_settings *s, struct mien_err *e)
{
    MIEN_FAIL_IF(s->use_gpu, e, MIEN_E_CONFIG, "USE_GPU: mien runs on the processor; only false is accepted");
    MIEN_FAIL_IF(!s->encrypt_templates, e, MIEN_E_CONFIG, "ENCRYPT_TEMPLATES: templates are always sealed; only true is accepted");
    MIEN_FAIL_IF(!s->never_store_raw_images, e, MIEN_E_CONFIG, "NEVER_STORE_RAW_IMAGES: photos are never stored; only true is accepted");
    MIEN_FAIL_IF(s->service.fusion.accept <= s->service.fusion.reject, e, MIEN_E_CONFIG, "ACCEPT_THRESHOLD must be above REJECT_THRESHOLD");
    MIEN_FAIL_IF(s->service.detection_size % 32 != 0 || (s->service.detection_size > 0 && s->service.detection_size < 160), e, MIEN_E_CONFIG,
                 "DETECTION_SIZE: a multiple of 32 from 160 to 1920, or 0");
    return MIEN_OK;
}

enum mien_code mien_config_settings(const struct mien_config *c, struct mien_serve_settings *out, struct mien_err *e)
{
    char room[120];
    *out = (struct mien_serve_settings){0};
    mien_server_settings_default(&out->server);
    mien_service_settings_default(&out->service);
    for (int i = 0; i < ROWS; i++) {
        const struct row *r = &TABLE[i];
        const char *text = text_of(c, i);
        if (text[0] == '\0' && r->kind == REAL && c->value[i].text == NULL) continue; /* a default that is not a number */
        MIEN_FAIL_IF(!store(r, text, out), e, MIEN_E_CONFIG, "%s: '%.40s' (%s) is not accepted; it takes %s", r->name, text, c->value[i].origin,
                     accepted(r, room));
    }
    out->server.trusted_proxies = out->service.trusted_proxies;
    if (out->server.workers == 0) out->server.workers = mien_cpu_count();
    out->service.workers = out->server.workers;
    return cannot_be_honoured(out, e);
}

/* ---- showing ---- */

static const char *shown(const struct mien_config *c, int i)
{
    const char *text = text_of(c, i);
    if (TABLE[i].kind == SECRET) return text[0] != '\0' ? "(set)" : "";
    return text;
}

static const char *origin_of(const struct mien_config *c, int i) { return c->value[i].text != NULL ? c->value[i].origin : "default"; }

void mien_config_print(const struct mien_config *c, struct mien_buf *out)
{
    for (int i = 0; i < ROWS; i++) mien_buf_addf(out, "%-32s %-24s %s\n", TABLE[i].name, shown(c, i), origin_of(c, i));
}

void mien_config_json(const struct mien_config *c, struct mien_jw *w)
{
    mien_jw_object(w);
    for (int i = 0; i < ROWS; i++) {
        mien_jw_key(w, TABLE[i].name);
        mien_jw_object(w);
        mien_jw_key(w, "value");
        mien_jw_string(w, shown(c, i));
        mien_jw_key(w, "origin");
        mien_jw_string(w, origin_of(c, i));
        mien_jw_end_object(w);
    }
    mien_jw_end_object(w);
}

static const char *kind_name(enum kind k)
{
    switch (k) {
    case TEXT:
        return "text";
    case SECRET:
        return "secret";
    case WHOLE:
    case BYTES:
        return "whole number";
    case REAL:
    case MILLISECONDS:
        return "number";
    case SWITCH:
        return "true or false";
    case CHOICE:
        return "choice";
    case WEIGHTS:
        return "weights";
    }
    return "";
}

static void range_cell(const struct row *r, struct mien_buf *out)
{
    if (r->choices != NULL) {
        for (const char *at = r->choices; at != NULL; at = next_choice(at))
            mien_buf_addf(out, "%s%.*s", at == r->choices ? "" : ", ", (int)strcspn(at, "|"), at);
        if (r->kind == WEIGHTS) mien_buf_addf(out, ": each %.15g to %.15g", r->low, r->high);
    } else if (r->low < r->high) {
        mien_buf_addf(out, "%.15g to %.15g", r->low, r->high);
    }
    if (r->unit != NULL) mien_buf_addf(out, " %s", r->unit);
}

void mien_config_markdown(struct mien_buf *out)
{
    mien_buf_adds(
        out,
        "# Configuration\n\nWritten by `mien config --markdown` from the table in `src/app/config.c`.\n\n"
        "A value comes from a flag of `mien serve` (`--port`, `--max-image-bytes`: the name in small letters with dashes), else from the environment, "
        "else from "
        "the file that `--config` or `MIEN_CONFIG` names (lines `NAME=VALUE`, `#` for comments; mode 0600 when it holds keys), else it is the default. "
        "`mien config` prints what is in force and where it came from. A value out of range, and in the file an unknown name or one that comes twice, stops "
        "the start. An empty variable in the environment counts as not given; of two names for one value the first below wins there. The models are "
        "found by `--models` or `MIEN_MODELS`.\n\n"
        "| name | type | default | range | what it does |\n|---|---|---|---|---|\n");
    for (int i = 0; i < ROWS; i++) {
        const struct row *r = &TABLE[i];
        mien_buf_addf(out, "| `%s`%s%s%s | %s | %s%s%s | ", r->name, r->also != NULL ? ", `" : "", r->also != NULL ? r->also : "", r->also != NULL ? "`" : "",
                      kind_name(r->kind), r->otherwise[0] != '\0' ? "`" : "", r->otherwise, r->otherwise[0] != '\0' ? "`" : "");
        range_cell(r, out);
        mien_buf_addf(out, " | %s |\n", r->help);
    }
}
