/* Loaded before libc: writes down every address that a process connects to, and every name that it
 * looks up, a line each in the file of SEE_CONNECT_REPORT.
 *
 * Never here: another answer than the system's own.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void report(const char *what, const char *address, int port) {
    const char *file = getenv("SEE_CONNECT_REPORT");
    int before = errno;
    int fd = file ? open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    if (fd < 0)
        abort();
    char line[512];
    int bytes = snprintf(line, sizeof line, "%s %s %d\n", what, address, port);
    if (write(fd, line, bytes) != bytes)
        abort();
    close(fd);
    errno = before;
}

int connect(int fd, const struct sockaddr *to, socklen_t length) {
    char text[INET6_ADDRSTRLEN] = "?";
    if (to->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const void *)to;
        inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
        report("connect", text, ntohs(v4->sin_port));
    } else if (to->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const void *)to;
        inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
        report("connect", text, ntohs(v6->sin6_port));
    } else if (to->sa_family != AF_UNIX) {
        report("connect", text, to->sa_family);
    }
    return ((__typeof__(&connect))dlsym(RTLD_NEXT, "connect"))(fd, to, length);
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **found) {
    report("lookup", node ? node : "?", 0);
    return ((__typeof__(&getaddrinfo))dlsym(RTLD_NEXT, "getaddrinfo"))(node, service, hints, found);
}
