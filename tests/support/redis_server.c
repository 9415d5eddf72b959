#include "support/redis_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct sockaddr_in address_of(int port)
{
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

int free_port(void)
{
    struct sockaddr_in a = address_of(0);
    socklen_t n = sizeof a;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int port = 0;
    if (bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && getsockname(fd, (struct sockaddr *)&a, &n) == 0) port = ntohs(a.sin_port);
    close(fd);
    return port;
}

bool say_to(int port, const char *text, char *answer, int room)
{
    const struct sockaddr_in a = address_of(port);
    const struct timeval limit = {.tv_sec = 2};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    ssize_t n = -1;
    if (connect(fd, (const struct sockaddr *)&a, sizeof a) == 0 && send(fd, text, strlen(text), MSG_NOSIGNAL) > 0) n = recv(fd, answer, (size_t)room - 1, 0);
    close(fd);
    answer[n > 0 ? n : 0] = '\0';
    return n > 0;
}

static void start_in_child(const struct redis_server *s)
{
    char port[12];
    const char *argument[24] = {"redis-server", "--port", port, "--bind", "127.0.0.1", "--dir", s->folder, "--save", "", "--appendonly", "yes",
                                "--appendfsync", "always", "--loglevel", "warning"};
    int n = 15;
    snprintf(port, sizeof port, "%d", s->port);
    for (int i = 0; s->more[i] != NULL; i++) argument[n++] = s->more[i];
    const int quiet = open("/dev/null", O_RDWR);
    for (int i = 0; i < 3; i++) dup2(quiet, i);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execvp(argument[0], (char **)(uintptr_t)argument);
    _exit(127);
}

bool redis_server_start(struct redis_server *s)
{
    char answer[64];
    s->pid = fork();
    if (s->pid == 0) start_in_child(s);
    for (int i = 0; s->pid > 0 && i < 3000; i++) {
        const bool answered = say_to(s->port, "PING\r\n", answer, sizeof answer);
        if (answered && strncmp(answer, "-LOADING", 8) != 0) return true;
        if (waitpid(s->pid, NULL, WNOHANG) == s->pid) break;
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    s->pid = 0;
    return false;
}

bool redis_server_make(struct redis_server *s)
{
    strcpy(s->folder, "/tmp/mien-redis-XXXXXX");
    if (mkdtemp(s->folder) == NULL) return false;
    s->port = free_port();
    snprintf(s->url, sizeof s->url, "redis://127.0.0.1:%d", s->port);
    if (redis_server_start(s)) return true;
    redis_server_free(s);
    return false;
}

void redis_server_kill(struct redis_server *s)
{
    if (s->pid <= 0) return;
    kill(s->pid, SIGKILL);
    waitpid(s->pid, NULL, 0);
    s->pid = 0;
}

void redis_server_free(struct redis_server *s)
{
    char command[96];
    redis_server_kill(s);
    if (s->folder[0] == '\0') return;
    snprintf(command, sizeof command, "rm -rf %s", s->folder);
    if (system(command) != 0) fprintf(stderr, "%s was not removed\n", s->folder);
    s->folder[0] = '\0';
}
