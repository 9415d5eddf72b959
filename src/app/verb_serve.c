/* mien serve, config, openapi, health. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "app/config.h"
#include "base/log.h"
#include "mien.h"

enum { PATH_BYTES = 4096, TEXT_BYTES = 8 << 20, HEALTH_SECONDS = 3 };

/* ---- before the server ---- */

static void set_log_level(const char *name)
{
    static const char *const NAME[] = {"debug", "info", "warn", "error", "off"};
    for (int i = 0; i < 5; i++)
        if (strcmp(NAME[i], name) == 0) mien_log_set_level((enum mien_log_level)i);
}

/* Memory of this process holds faces: it must not be dumped to a disk, and other processes of the user must not read it. */
static void keep_memory_private(void)
{
    const struct rlimit none = {0, 0};
    struct rlimit files;
    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_DUMPABLE, 0L, 0L, 0L, 0L);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

static void default_data_dir(char *dir, size_t room)
{
    const char *state = getenv("STATE_DIRECTORY"), *xdg = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    if (state != NULL && state[0] != '\0') snprintf(dir, room, "%s", state);
    else if (xdg != NULL && xdg[0] == '/') snprintf(dir, room, "%s/mien", xdg);
    else snprintf(dir, room, "%s/.local/share/mien", home != NULL ? home : "");
}

/* Makes the folder and those above it; what is made is its owner's alone. */
static enum mien_code make_data_dir(const char *wanted, struct mien_err *e)
{
    char dir[PATH_BYTES];
    struct stat st;
    MIEN_FAIL_IF(strlen(wanted) >= sizeof dir, e, MIEN_E_CONFIG, "DATA_DIR: the path is too long");
    if (wanted[0] != '\0') snprintf(dir, sizeof dir, "%s", wanted);
    else default_data_dir(dir, sizeof dir);
    for (char *slash = strchr(dir + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(dir, 0700);
        *slash = '/';
    }
    MIEN_FAIL_IF(mkdir(dir, 0700) != 0 && errno != EEXIST, e, MIEN_E_CONFIG, "DATA_DIR: %s: %s", dir, strerror(errno));
    MIEN_FAIL_IF(stat(dir, &st) != 0 || !S_ISDIR(st.st_mode) || access(dir, W_OK | X_OK) != 0, e, MIEN_E_CONFIG, "DATA_DIR: %s is not a folder to write in",
                 dir);
    return MIEN_OK;
}

static bool is_loopback(const char *host)
{
    uint8_t ip[4];
    return strcmp(host, "localhost") == 0 || strcmp(host, "::1") == 0 || (inet_pton(AF_INET, host, ip) == 1 && ip[0] == 127);
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

/* From the started server to its end. */
static void serve_until_told(const struct mien_serve_settings *s, struct mien_service *service, const struct mien_models *models, struct mien_server **server)
{
    const sigset_t stop = stop_signals();
    int signal_number = 0;
    mien_service_attach(service, *server);
    announce(s, models, *server);
    notify("READY=1");
    sigwait(&stop, &signal_number);
    notify("STOPPING=1");
    mien_log(MIEN_LOG_INFO, "stopping", "signal=%d", signal_number);
    pthread_sigmask(SIG_UNBLOCK, &stop, NULL); /* a second signal ends at once */
    mien_service_stopping(service);
    const bool clean = mien_server_stop(server);
    mien_log(clean ? MIEN_LOG_INFO : MIEN_LOG_WARN, "stopped", "clean=%s", clean ? "yes" : "no");
    if (!clean) _exit(MIEN_EXIT_ERROR); /* a worker still uses the models */
}

static enum mien_code serve(const struct mien_cli *cli, struct mien_serve_settings *s, struct mien_err *e)
{
    struct mien_models *models = NULL;
    struct mien_service *service = NULL;
    struct mien_server *server = NULL;
    char web[PATH_BYTES];
    const sigset_t stop = stop_signals();
    if (s->service.web_dir[0] == '\0') s->service.web_dir = mien_cli_beside_program("build/web", web, sizeof web) ? web : NULL;
    MIEN_TRY(make_data_dir(s->data_dir, e));
    pthread_sigmask(SIG_BLOCK, &stop, NULL); /* before threads, which inherit it */
    enum mien_code code = mien_cli_models(cli, NULL, &models, e);
    if (code == MIEN_OK) code = mien_service_create(&s->service, models, &service, e);
    if (code == MIEN_OK && !mien_service_has_keys(service) && !is_loopback(s->server.host))
        code = MIEN_FAIL(e, MIEN_E_CONFIG, "HOST: '%.60s' is reachable from outside, and no key is configured: set API_KEYS or API_KEYS_FILE", s->server.host);
    if (code == MIEN_OK) code = mien_server_start(&s->server, mien_service_handler(service), &server, e);
    if (code == MIEN_OK) serve_until_told(s, service, models, &server);
    mien_service_free(&service);
    mien_models_free(&models);
    return code;
}

int mien_verb_serve(struct mien_cli *cli, int argc, char **argv)
{
    struct mien_config *config;
    struct mien_serve_settings s;
    struct mien_err e = {0};
    int status = mien_config_read(cli, argc, argv, NULL, 0, &config);
    if (status >= 0) return status;
    enum mien_code code = mien_config_settings(config, &s, &e);
    if (code == MIEN_OK) {
        set_log_level(s.log_level);
        keep_memory_private();
        signal(SIGPIPE, SIG_IGN);
        code = serve(cli, &s, &e);
        prctl(PR_SET_DUMPABLE, 1L, 0L, 0L, 0L); /* everything is wiped and freed; leak checkers want to look */
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
    if (code == MIEN_OK || markdown) return mien_cli_print(&out, MIEN_EXIT_YES);
    mien_buf_free(&out);
    return mien_cli_fail(&e);
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
static bool is_alive(const char *host, int port)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    const struct timeval patience = {.tv_sec = HEALTH_SECONDS};
    static const char request[] = "GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    struct addrinfo *list = NULL;
    char text[16], answer[16] = "";
    snprintf(text, sizeof text, "%d", port);
    if (strcmp(host, "0.0.0.0") == 0) host = "127.0.0.1";
    if (strcmp(host, "::") == 0) host = "::1";
    if (getaddrinfo(host, text, &hints, &list) != 0) return false;
    const int fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    const bool asked =
        fd >= 0 && connect(fd, list->ai_addr, list->ai_addrlen) == 0 && send(fd, request, sizeof request - 1, MSG_NOSIGNAL) == sizeof request - 1;
    const bool alive = asked && recv(fd, answer, 12, MSG_WAITALL) == 12 && memcmp(answer, "HTTP/1.1 200", 12) == 0;
    if (fd >= 0) close(fd);
    freeaddrinfo(list);
    return alive;
}

int mien_verb_health(struct mien_cli *cli, int argc, char **argv)
{
    struct mien_config *config;
    struct mien_serve_settings s;
    struct mien_err e = {0};
    struct mien_buf out;
    int status = mien_config_read(cli, argc, argv, NULL, 0, &config);
    if (status >= 0) return status;
    const bool read = mien_config_settings(config, &s, &e) == MIEN_OK;
    const bool alive = read && is_alive(s.server.host, s.server.port);
    mien_config_free(&config);
    if (!read) return mien_cli_fail(&e);
    mien_buf_init(&out, 64);
    mien_buf_addf(&out, cli->json ? "{\"alive\":%s}\n" : "alive: %s\n", alive ? cli->json ? "true" : "yes" : cli->json ? "false" : "no");
    return mien_cli_print(&out, alive ? MIEN_EXIT_YES : MIEN_EXIT_NO);
}
