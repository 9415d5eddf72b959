/* mien serve, config, openapi, health. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "app/figures.h"
#include "app/own_models.h"
#include "app/sessions.h"
#include "base/log.h"
#include "mien.h"
#include "net/client.h"

enum { TEXT_BYTES = 8 << 20, HEALTH_SECONDS = 3, PURGE_SECONDS = 3600 };

/* ---- before the server ---- */

static void set_log_level(const char *name)
{
    static const char *const NAME[] = {"debug", "info", "warn", "error", "off"};
    for (int i = 0; i < 5; i++)
        if (strcmp(NAME[i], name) == 0) mien_log_set_level((enum mien_log_level)i);
}

static void allow_many_connections(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0) return;
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

/* ---- running ---- */

/* Tells systemd, when it asked to be told (sd_notify(3)). */
static void notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    if (path == NULL || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof to.sun_path) return;
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return;
    memcpy(to.sun_path, path, strlen(path));
    if (to.sun_path[0] == '@') to.sun_path[0] = '\0';
    sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&to, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path)));
    close(fd);
}

static sigset_t stop_signals(void)
{
    sigset_t s;
    sigemptyset(&s);
    sigaddset(&s, SIGTERM);
    sigaddset(&s, SIGINT);
    return s;
}

static void announce(const struct mien_serve_settings *s, const struct mien_models *models, const struct mien_server *server)
{
    const char *host = s->server.host;
    const bool v6 = strchr(host, ':') != NULL;
    printf("mien %s listening on http://%s%s%s:%d (pack %s, %d workers)\n", MIEN_VERSION, v6 ? "[" : "", host, v6 ? "]" : "", mien_server_port(server),
           mien_models_pack(models), s->server.workers);
    fflush(stdout);
}

/* Waits for a signal and looks after the ledger meanwhile. */
static int wait_for_signal(const struct mien_serve_settings *s, const struct mien_sessions *sessions)
{
    const sigset_t stop = stop_signals();
    const struct timespec wait = {.tv_sec = PURGE_SECONDS};
    for (;;) {
        mien_sessions_purge(s, sessions);
        int signal_number = sigtimedwait(&stop, NULL, &wait);
        while (signal_number < 0 && errno == EINTR) signal_number = sigtimedwait(&stop, NULL, &wait);
        if (signal_number > 0) return signal_number;
    }
}

/* From the started server to its end. */
static void serve_until_told(const struct mien_serve_settings *s, struct mien_service *service, const struct mien_models *models,
                             const struct mien_sessions *sessions, struct mien_server **server)
{
    const sigset_t stop = stop_signals();
    mien_service_attach(service, *server);
    announce(s, models, *server);
    mien_figures_log(models, s->service.match_threshold);
    notify("READY=1");
    const int signal_number = wait_for_signal(s, sessions);
    notify("STOPPING=1");
    mien_log(MIEN_LOG_INFO, "stopping", "signal=%d", signal_number);
    pthread_sigmask(SIG_UNBLOCK, &stop, NULL); /* a second signal ends at once */
    mien_service_stopping(service);
    const bool clean = mien_server_stop(server);
    mien_log(clean ? MIEN_LOG_INFO : MIEN_LOG_WARN, "stopped", "clean=%s", clean ? "yes" : "no");
    if (!clean) _exit(MIEN_EXIT_ERROR); /* a worker still uses the models */
}

/* Texts of the settings that are found out, not configured. */
struct found_paths { char web[MIEN_PATH], bank[MIEN_PATH], spoofs[MIEN_PATH]; };

/* Paths of the facebank and of the log of spoofs. A facebank that nobody has asked for by name may come later: the service looks for it. */
static enum mien_code find_facebank(struct mien_serve_settings *s, const char *dir, struct found_paths *found, struct mien_err *e)
{
    const bool named = s->facebank[0] != '\0';
    MIEN_TRY(mien_data_file(s, dir, named ? s->facebank : "facebank.csv", found->bank, e));
    MIEN_TRY(mien_data_file(s, dir, "spoof_log.csv", found->spoofs, e));
    MIEN_FAIL_IF(s->data_folder[0] != '\0' && access(s->data_folder, X_OK) != 0, e, MIEN_E_CONFIG, "DATA_FOLDER: %s: %s", s->data_folder, strerror(errno));
    MIEN_FAIL_IF(named && access(found->bank, R_OK) != 0, e, MIEN_E_CONFIG, "FACEBANK: %s: %s", found->bank, strerror(errno));
    s->service.facebank = found->bank;
    s->service.spoof_log = found->spoofs;
    return MIEN_OK;
}

/* A server whose pack cannot recognise has no gallery, and says so; whatever else is wrong with the gallery stops the start. */
static enum mien_code open_people(struct mien_serve_settings *s, struct mien_models *models, struct mien_people *people, struct mien_err *e)
{
    MIEN_TRY(mien_people_redis(s, people, e));
    if (mien_models_role(models, MIEN_ROLE_EMBED, 0) != NULL) MIEN_TRY(mien_people_gallery(s, models, people, e));
    else mien_log(MIEN_LOG_WARN, "no_gallery", "why=the pack has no recognition model");
    s->service.gallery = people->gallery;
    s->service.redis = people->redis;
    return MIEN_OK;
}

static enum mien_code serve(const struct mien_cli *cli, struct mien_serve_settings *s, struct found_paths *found, struct mien_err *e)
{
    struct mien_models *models = NULL;
    struct mien_people people = {0};
    struct mien_sessions sessions = {0};
    struct mien_service *service = NULL;
    struct mien_server *server = NULL;
    char dir[MIEN_PATH];
    const sigset_t stop = stop_signals();
    if (s->service.web_dir[0] == '\0') s->service.web_dir = mien_cli_beside_program("build/web", found->web, sizeof found->web) ? found->web : NULL;
    MIEN_TRY(mien_data_dir(s, true, dir, e));
    MIEN_TRY(find_facebank(s, dir, found, e));
    pthread_sigmask(SIG_BLOCK, &stop, NULL); /* before threads, which inherit it */
    enum mien_code code = mien_own_models(cli, s, MIEN_OWN_ALL, &models, e);
    if (code == MIEN_OK) code = open_people(s, models, &people, e);
    if (code == MIEN_OK) code = mien_sessions_open(s, dir, &sessions, e);
    if (code == MIEN_OK) code = mien_service_create(&s->service, models, &service, e);
    if (code == MIEN_OK && !mien_service_has_keys(service) && !mien_host_is_loopback(s->server.host))
        code = MIEN_FAIL(e, MIEN_E_CONFIG, "HOST: '%.60s' is reachable from outside, and no key is configured: set API_KEYS or API_KEYS_FILE", s->server.host);
    if (code == MIEN_OK) code = mien_server_start(&s->server, mien_service_handler(service), &server, e);
    if (code == MIEN_OK) serve_until_told(s, service, models, &sessions, &server);
    mien_service_free(&service);
    mien_sessions_close(&sessions);
    mien_people_close(&people);
    mien_models_free(&models);
    return code;
}

int mien_verb_serve(struct mien_cli *cli, int argc, char **argv)
{
    struct mien_config *config;
    struct mien_serve_settings s;
    struct found_paths found;
    struct mien_err e = {0};
    int status = mien_config_read(cli, argc, argv, NULL, 0, &config);
    if (status >= 0) return status;
    enum mien_code code = mien_config_settings(config, &s, &e);
    if (code == MIEN_OK) {
        set_log_level(s.log_level);
        mien_keep_memory_private();
        allow_many_connections();
        signal(SIGPIPE, SIG_IGN);
        code = serve(cli, &s, &found, &e);
        mien_memory_is_wiped();
    }
    mien_config_free(&config);
    return code == MIEN_OK ? MIEN_EXIT_YES : mien_cli_fail(&e);
}

/* ---- config, openapi, health ---- */

int mien_verb_config(struct mien_cli *cli, int argc, char **argv)
{
    struct mien_config *config;
    struct mien_serve_settings s;
    struct mien_err e = {0};
    struct mien_buf out;
    struct mien_jw w;
    bool markdown = false;
    const struct mien_opt opts[] = {{"markdown", MIEN_OPT_FLAG, &markdown, NULL, "print the page docs/configuration.md", 0, 0}};
    int status = mien_config_read(cli, argc, argv, opts, 1, &config);
    if (status >= 0) return status;
    mien_buf_init(&out, TEXT_BYTES);
    mien_jw_init(&w, &out);
    enum mien_code code = mien_config_settings(config, &s, &e);
    if (markdown) mien_config_markdown(&out);
    else if (cli->json) mien_config_json(config, &w);
    else mien_config_print(config, &out);
    if (cli->json && !markdown) mien_buf_adds(&out, "\n");
    mien_config_free(&config);
    return mien_cli_end(markdown ? MIEN_OK : code, &out, MIEN_EXIT_YES, &e);
}

int mien_verb_openapi(struct mien_cli *cli, int argc, char **argv)
{
    struct mien_err e = {0};
    struct mien_buf out;
    int first;
    int status = mien_cli_parse(cli, argc, argv, NULL, 0, 0, 0, &first);
    if (status >= 0) return status;
    mien_buf_init(&out, TEXT_BYTES);
    if (mien_service_openapi(&out, &e) != MIEN_OK) {
        mien_buf_free(&out);
        return mien_cli_fail(&e);
    }
    mien_buf_adds(&out, "\n");
    return mien_cli_print(&out, MIEN_EXIT_YES);
}

/* Whether the server answers GET /livez with 200. */
static enum mien_code ask_alive(const struct mien_serve_settings *s, bool *alive, struct mien_err *e)
{
    struct mien_client *client;
    struct mien_buf answer;
    char url[300];
    int status = 0;
    mien_server_url(s, url);
    MIEN_TRY(mien_client_create(url, NULL, &client, e));
    mien_buf_init(&answer, TEXT_BYTES);
    const struct mien_ask ask = {.method = "GET", .path = "/livez", .timeout_ms = HEALTH_SECONDS * 1000};
    *alive = mien_client_ask(client, &ask, &status, &answer, NULL) == MIEN_OK && status == 200;
    mien_buf_free(&answer);
    mien_client_free(&client);
    return MIEN_OK;
}

int mien_verb_health(struct mien_cli *cli, int argc, char **argv)
{
    struct mien_config *config;
    struct mien_serve_settings s;
    struct mien_err e = {0};
    struct mien_buf out;
    int status = mien_config_read(cli, argc, argv, NULL, 0, &config);
    if (status >= 0) return status;
    bool alive = false;
    enum mien_code code = mien_config_settings(config, &s, &e);
    if (code == MIEN_OK) code = ask_alive(&s, &alive, &e);
    mien_config_free(&config);
    if (code != MIEN_OK) return mien_cli_fail(&e);
    mien_buf_init(&out, 64);
    mien_buf_addf(&out, cli->json ? "{\"alive\":%s}\n" : "alive: %s\n", alive ? cli->json ? "true" : "yes" : cli->json ? "false" : "no");
    return mien_cli_print(&out, alive ? MIEN_EXIT_YES : MIEN_EXIT_NO);
}
