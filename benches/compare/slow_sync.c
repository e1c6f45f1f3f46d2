/* A disk that syncs slowly: loaded before libc, it adds SLOW_SYNC_US microseconds to each fsync and
 * fdatasync. Never here: a call that does anything else than it was asked for.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static void wait_a_little(void) {
    const char *us = getenv("SLOW_SYNC_US");
    long ns = us ? atol(us) * 1000 : 0;
    struct timespec pause = {ns / 1000000000, ns % 1000000000};
    nanosleep(&pause, NULL);
}

int fsync(int fd) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    wait_a_little();
    return real(fd);
}

int fdatasync(int fd) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    wait_a_little();
    return real(fd);
}
