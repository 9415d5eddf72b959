/* The enrolled people as the configuration says: data folder, keys, store and gallery. What `mien serve` and the verbs of the gallery open. */
#ifndef MIEN_APP_PEOPLE_H
#define MIEN_APP_PEOPLE_H

#include "app/config.h"

enum { MIEN_PATH = 4096 };

/* Memory of this process holds faces and keys: no core dump, no look from other processes of the user. The second undoes it at the end, when everything is
 * wiped and freed and leak checkers want to look. */
void mien_keep_memory_private(void);
void mien_memory_is_wiped(void);

/* DATA_DIR, or where the system wants such a folder. `make`: makes it and those above; what is made is its owner's alone. MIEN_E_CONFIG. */
enum mien_code mien_data_dir(const struct mien_serve_settings *s, bool make, char dir[MIEN_PATH], struct mien_err *e) MIEN_MUST_CHECK;
/* `name` in DATA_FOLDER (default: `dir`), unless it is absolute. */
enum mien_code mien_data_file(const struct mien_serve_settings *s, const char *dir, const char *name, char path[MIEN_PATH], struct mien_err *e) MIEN_MUST_CHECK;

/* "http://127.0.0.1:8000": where the configured server is found from this machine. */
void mien_server_url(const struct mien_serve_settings *s, char url[300]);

struct mien_people {
    struct mien_redis *redis;     /* NULL without REDIS_URL */
    struct mien_store *store;     /* NULL when the gallery has it */
    struct mien_keyring *keyring; /* the same */
    struct mien_gallery *gallery;
};

/* Each opens what the ones before it have not; mien_people_close accepts any state. */

/* Redis, when there is a REDIS_URL. MIEN_E_STORE. */
enum mien_code mien_people_redis(const struct mien_serve_settings *s, struct mien_people *p, struct mien_err *e) MIEN_MUST_CHECK;
/* Redis or DATA_DIR/gallery.db. `read_only`: only to look, beside a server that writes. MIEN_E_STORE_LOCKED: another process has it. */
enum mien_code mien_people_store(const struct mien_serve_settings *s, bool read_only, struct mien_people *p, struct mien_err *e) MIEN_MUST_CHECK;
/* The store and its keys. A key file is made only for a store without templates. MIEN_E_KEY. */
enum mien_code mien_people_keys(const struct mien_serve_settings *s, bool read_only, struct mien_people *p, struct mien_err *e) MIEN_MUST_CHECK;
/* The gallery of the pack's recognition model. MIEN_E_MODEL_MISSING: the pack has none. */
enum mien_code mien_people_gallery(const struct mien_serve_settings *s, struct mien_models *models, struct mien_people *p, struct mien_err *e) MIEN_MUST_CHECK;
void mien_people_close(struct mien_people *p);

#endif
