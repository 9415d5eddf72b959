/* The server of tests/support/echo.h as a program, for scripts.
 *
 *   run_echo [NAME=NUMBER ...]     NAME: a number in struct mien_server_settings, as SETTING below has it
 *
 * Prints `port N`, then a line for each `open PATH` and `closed CODE` of a socket and each `done STATUS` of a request. Standard input: `state` prints the
 * number of connections, the resident kilobytes and the bytes that bodies and messages hold; `stop`, or its end, stops the server and prints `stopped yes`
 * or `stopped no`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/echo.h"

static const struct setting {
    const char *name;
    size_t at;
    bool is_size;
} SETTING[] = {
#define INT(n) {#n, offsetof(struct mien_server_settings, n), false}
#define SIZE(n) {#n, offsetof(struct mien_server_settings, n), true}
    INT(workers), INT(max_connections), INT(max_connections_per_address), INT(header_timeout_ms), INT(stop_timeout_ms), INT(socket_ping_ms),
    INT(socket_close_ms), INT(socket_controls_per_s), SIZE(socket_max_message), SIZE(socket_max_waiting), SIZE(max_body_memory)};

static bool set(struct mien_server_settings *t, const char *argument)
{
    const char *equals = strchr(argument, '=');
    for (size_t i = 0; equals != NULL && i < sizeof SETTING / sizeof SETTING[0]; i++) {
        char *at = (char *)t + SETTING[i].at;
        if (strncmp(SETTING[i].name, argument, (size_t)(equals - argument)) != 0) continue;
        if (SETTING[i].is_size) *(size_t *)(void *)at = strtoull(equals + 1, NULL, 10);
        else *(int *)(void *)at = atoi(equals + 1);
        return true;
    }
    return false;
}

static long resident_kb(void)
{
    char line[128];
    long kb = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f != NULL && kb == 0 && fgets(line, sizeof line, f) != NULL) sscanf(line, "VmRSS: %ld", &kb);
    if (f != NULL) fclose(f);
    return kb;
}

int main(int argc, char **argv)
{
    struct mien_server_settings t;
    struct mien_err e = {0};
    struct echo x = {.prints = true};
    char line[64];
    echo_settings(&t);
    for (int i = 1; i < argc; i++)
        if (!set(&t, argv[i])) return fprintf(stderr, "run_echo: no setting %s\n", argv[i]), 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (echo_start(&x, &t, &e) != MIEN_OK) return fprintf(stderr, "run_echo: %s\n", e.msg), 1;
    printf("port %d\n", mien_server_port(x.server));
    while (fgets(line, sizeof line, stdin) != NULL && strcmp(line, "stop\n") != 0) {
        const struct mien_server_state state = mien_server_state(x.server);
        printf("state %d %ld %zu\n", state.connections, resident_kb(), state.body_bytes);
    }
    printf("stopped %s\n", echo_stop(&x) ? "yes" : "no");
    return 0;
}
