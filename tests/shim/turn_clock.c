/* Loaded before libc: a process whose clocks, that of the day and those that nobody can set, are as
 * far ahead as a file says. Whoever waits looks up often, so that it notices.
 *
 * TURN_CLOCK_FILE  a file of eight bytes: milliseconds ahead, in the machine's own order
 *
 * Never here: clocks that go at another pace, or back.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define LOOKS_UP_AFTER_MS 20

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static _Atomic int64_t *ahead_ms;

__attribute__((constructor)) static void open_file(void) {
    const char *path = getenv("TURN_CLOCK_FILE");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        abort();
    ahead_ms = mmap(NULL, sizeof *ahead_ms, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (ahead_ms == MAP_FAILED)
        abort();
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    static __typeof__(&clock_gettime) real;
    if (!real)
        real = REAL(clock_gettime);
    int answer = real(clock, now);
    int is_of_work = clock == CLOCK_PROCESS_CPUTIME_ID || clock == CLOCK_THREAD_CPUTIME_ID;
    if (answer != 0 || is_of_work || !ahead_ms)
        return answer;
    int64_t ahead = atomic_load(ahead_ms);
    now->tv_sec += ahead / 1000;
    now->tv_nsec += ahead % 1000 * 1000000;
    if (now->tv_nsec >= 1000000000) {
        now->tv_sec += 1;
        now->tv_nsec -= 1000000000;
    }
    return 0;
}

int epoll_wait(int fd, struct epoll_event *events, int most, int timeout_ms) {
    static __typeof__(&epoll_wait) real;
    if (!real)
        real = REAL(epoll_wait);
    int is_long = timeout_ms < 0 || timeout_ms > LOOKS_UP_AFTER_MS;
    return real(fd, events, most, is_long ? LOOKS_UP_AFTER_MS : timeout_ms);
}
