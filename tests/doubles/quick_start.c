/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Has the name of an installed script and is started in its place. Asks the server at SOCKET_PATH, which has imported
 * everything already, for a process that runs the script; hands it all descriptors, passes on signals, and ends as that
 * process does. What the server does not want to serve is started from FOLDER as usual.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST_DESCRIPTORS 64

enum { REFUSED = 0, RUNS = 1, ENDED = 2 };

struct answer {
    int32_t kind;
    int32_t value;
};

static const int passed_on[] = {SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGTERM, SIGCONT, SIGWINCH, SIGALRM};

static volatile pid_t runs;

static void pass_on(int number) {
    kill(runs, number);
}

static void start_as_usual(char **argv) {
    char path[4096];
    const char *slash = strrchr(argv[0], '/');
    snprintf(path, sizeof path, "%s/%s", FOLDER, slash ? slash + 1 : argv[0]);
    execv(path, argv);
    perror(path);
    _exit(127);
}

/* Returns the connection, or -1. */
static int ask(void) {
    int32_t numbers[MOST_DESCRIPTORS];
    int count = 0;
    for (int fd = 0; fd < 256; fd++)
        if (fcntl(fd, F_GETFD) >= 0) {
            if (count == MOST_DESCRIPTORS)
                return -1;
            numbers[count++] = fd;
        }
    int link = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = SOCKET_PATH};
    if (link < 0 || connect(link, (struct sockaddr *)&address, sizeof address))
        return -1;
    union {
        char room[CMSG_SPACE(sizeof numbers)];
        struct cmsghdr aligned;
    } control;
    memset(&control, 0, sizeof control);
    /* One word more than there are descriptors: there is always something to send. */
    int32_t words[MOST_DESCRIPTORS + 1] = {count};
    memcpy(words + 1, numbers, count * sizeof *numbers);
    struct iovec data = {words, (count + 1) * sizeof *words};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};
    if (count) {
        message.msg_control = control.room;
        message.msg_controllen = CMSG_SPACE(count * sizeof *numbers);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(count * sizeof *numbers);
        memcpy(CMSG_DATA(header), numbers, count * sizeof *numbers);
    }
    return sendmsg(link, &message, MSG_NOSIGNAL) < 0 ? -1 : link;
}

/* Waits for an answer; the end of the connection is one, too. */
static struct answer next_answer(int link) {
    struct answer answer;
    ssize_t size;
    while ((size = recv(link, &answer, sizeof answer, 0)) < 0 && errno == EINTR)
        ;
    if (size != sizeof answer)
        answer.kind = REFUSED;
    return answer;
}

static void end_like(int status) {
    if (WIFSIGNALED(status)) {
        int number = WTERMSIG(status);
        struct rlimit none = {0, 0};
        sigset_t only;
        setrlimit(RLIMIT_CORE, &none);
        signal(number, SIG_DFL);
        sigemptyset(&only);
        sigaddset(&only, number);
        sigprocmask(SIG_UNBLOCK, &only, NULL);
        kill(getpid(), number);
    }
    _exit(WEXITSTATUS(status));
}

int main(int argc, char **argv) {
    sigset_t all, before;
    struct answer answer = {REFUSED, 0};
    int link = -1;
    (void)argc;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    /* Who has a terminal wants its signals, which go to the processes of one session only. */
    if (!isatty(0) && !isatty(1) && (link = ask()) >= 0)
        answer = next_answer(link);
    if (answer.kind != RUNS) {
        sigprocmask(SIG_SETMASK, &before, NULL);
        start_as_usual(argv);
    }
    runs = answer.value;
    /* The other end of a pipe sees its end when the program closes it, and not when we end. */
    for (int fd = 0; fd < 256; fd++)
        if (fd != link)
            close(fd);
    for (size_t i = 0; i < sizeof passed_on / sizeof *passed_on; i++) {
        struct sigaction now, action = {.sa_handler = pass_on};
        sigaction(passed_on[i], NULL, &now);
        if (now.sa_handler != SIG_IGN)
            sigaction(passed_on[i], &action, NULL);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    answer = next_answer(link);
    if (answer.kind != ENDED) {
        /* The server is gone, and with it what it ran. */
        kill(runs, SIGKILL);
        _exit(125);
    }
    sigprocmask(SIG_SETMASK, &all, NULL);
    end_like(answer.value);
}
