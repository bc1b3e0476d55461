/*
 * disturb.c
 *		Clocks that jump and disks that are full, for test/faults --seeds: LD_PRELOAD.
 *
 * A file that ACTEON_DISTURB names is mapped, which the driver writes (disturb.py).  For
 * every process that maps it, time of day is later by "passed", as if that time had gone by,
 * and by the jump of its role (ACTEON_DISTURB_ROLE).  For those with ACTEON_DISTURB_TIMERS,
 * clocks that are not set are later by "passed", too, and epoll_wait looks at them again
 * after a moment, so timers see that time has passed.
 *
 * While the disk is full, what would make a file below ACTEON_DISTURB_DATA larger fails, and
 * also each write to the WAL when it is full for these as well.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define ROLES 8
#define NANOSECONDS INT64_C(1000000000)
#define LONGEST_WAIT 50 /* milliseconds */

/* How full the disk is. */
enum
{
	HAS_ROOM,
	FULL_FOR_LARGER, /* for what makes a file larger */
	FULL_FOR_WAL     /* and for each write of WAL */
};

typedef struct Disturbance
{
	int64_t passed; /* nanoseconds, as all */
	int64_t full;
	int64_t jumps[ROLES];
} Disturbance;

static volatile Disturbance nothing;
static volatile Disturbance *disturbance = &nothing;
static int role;
static bool has_timers;
static const char *data;
static size_t data_len;

__attribute__((constructor)) static void
begin(void)
{
	const char *path = getenv("ACTEON_DISTURB");
	const char *number = getenv("ACTEON_DISTURB_ROLE");
	int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
	void *mapped;

	if (fd < 0)
		return;
	mapped = mmap(NULL, sizeof(Disturbance), PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (mapped == MAP_FAILED)
		return;
	role = number == NULL ? 0 : atoi(number) % ROLES;
	has_timers = getenv("ACTEON_DISTURB_TIMERS") != NULL;
	data = getenv("ACTEON_DISTURB_DATA");
	data_len = data == NULL ? 0 : strlen(data);
	disturbance = mapped;
}

/* ----------------------------------------------------------------
 * Clocks
 * ----------------------------------------------------------------
 */

static int64_t
offset_of(clockid_t clock)
{
	switch (clock)
	{
		case CLOCK_REALTIME:
		case CLOCK_REALTIME_COARSE:
			return disturbance->passed + disturbance->jumps[role];
		case CLOCK_MONOTONIC:
		case CLOCK_MONOTONIC_RAW:
		case CLOCK_MONOTONIC_COARSE:
		case CLOCK_BOOTTIME:
			return has_timers ? disturbance->passed : 0;
		default:
			return 0;
	}
}

int
clock_gettime(clockid_t clock, struct timespec *now)
{
	/* The function that is shadowed is one of the vDSO, which this finds once. */
	static int (*next)(clockid_t, struct timespec *);
	int64_t offset = offset_of(clock);
	int result;

	if (next == NULL)
		next = (int (*)(clockid_t, struct timespec *)) dlsym(RTLD_NEXT, "clock_gettime");
	result = next(clock, now);
	if (result == 0 && offset != 0)
	{
		int64_t nanoseconds = now->tv_nsec + offset % NANOSECONDS;

		now->tv_sec += offset / NANOSECONDS;
		if (nanoseconds < 0)
		{
			nanoseconds += NANOSECONDS;
			now->tv_sec--;
		}
		now->tv_sec += nanoseconds / NANOSECONDS;
		now->tv_nsec = nanoseconds % NANOSECONDS;
	}
	return result;
}

int
gettimeofday(struct timeval *restrict now, void *restrict zone)
{
	struct timespec found;

	(void) zone;
	if (clock_gettime(CLOCK_REALTIME, &found) != 0)
		return -1;
	now->tv_sec = found.tv_sec;
	now->tv_usec = found.tv_nsec / 1000;
	return 0;
}

time_t
time(time_t *result)
{
	struct timespec found;

	if (clock_gettime(CLOCK_REALTIME, &found) != 0)
		return (time_t) -1;
	if (result != NULL)
		*result = found.tv_sec;
	return found.tv_sec;
}

int
epoll_wait(int fd, struct epoll_event *events, int count, int timeout)
{
	static int (*next)(int, struct epoll_event *, int, int);

	if (next == NULL)
		next = (int (*)(int, struct epoll_event *, int, int)) dlsym(RTLD_NEXT, "epoll_wait");
	if (has_timers && (timeout < 0 || timeout > LONGEST_WAIT))
		timeout = LONGEST_WAIT;
	return next(fd, events, count, timeout);
}

/* ----------------------------------------------------------------
 * Disks
 * ----------------------------------------------------------------
 */

/*
 * Whether a write up to some place in a file fails: to its end if that is -1.
 */
static bool
has_no_room(int fd, off_t end)
{
	char link[64];
	char path[PATH_MAX];
	struct stat found;
	ssize_t len;
	bool is_wal;

	if (disturbance->full == HAS_ROOM || data == NULL)
		return false;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, path, sizeof(path) - 1);
	if (len < (ssize_t) data_len || strncmp(path, data, data_len) != 0)
		return false;
	path[len] = '\0';
	is_wal = strncmp(path + data_len, "/pg_wal/", 8) == 0;
	if (is_wal && disturbance->full >= FULL_FOR_WAL)
		return true;
	if (fstat(fd, &found) != 0 || !S_ISREG(found.st_mode))
		return false;
	return end < 0 || end > found.st_size;
}

#define REFUSE(fd, end, result) \
	if (has_no_room(fd, end)) \
	{ \
		errno = ENOSPC; \
		return result; \
	}

ssize_t
write(int fd, const void *bytes, size_t size)
{
	if (disturbance->full != HAS_ROOM)
	{
		off_t at = lseek(fd, 0, SEEK_CUR);

		/* What cannot be sought in is no file that fills a disk. */
		if (at >= 0)
			REFUSE(fd, (fcntl(fd, F_GETFL) & O_APPEND) ? -1 : at + (off_t) size, -1);
	}
	return syscall(SYS_write, fd, bytes, size);
}

ssize_t
pwrite(int fd, const void *bytes, size_t size, off_t at)
{
	REFUSE(fd, at + (off_t) size, -1);
	return syscall(SYS_pwrite64, fd, bytes, size, at);
}

ssize_t
pwrite64(int fd, const void *bytes, size_t size, off64_t at)
{
	return pwrite(fd, bytes, size, at);
}

ssize_t
pwritev(int fd, const struct iovec *parts, int count, off_t at)
{
	off_t end = at;

	for (int i = 0; i < count; i++)
		end += (off_t) parts[i].iov_len;
	REFUSE(fd, end, -1);
	return syscall(SYS_pwritev, fd, parts, count, (long) at, 0L);
}

ssize_t
pwritev64(int fd, const struct iovec *parts, int count, off64_t at)
{
	return pwritev(fd, parts, count, at);
}

int
posix_fallocate(int fd, off_t at, off_t size)
{
	REFUSE(fd, at + size, ENOSPC);
	return syscall(SYS_fallocate, fd, 0, at, size) == 0 ? 0 : errno;
}

int
posix_fallocate64(int fd, off64_t at, off64_t size)
{
	return posix_fallocate(fd, at, size);
}

int
ftruncate(int fd, off_t size)
{
	REFUSE(fd, size, -1);
	return (int) syscall(SYS_ftruncate, fd, size);
}

int
ftruncate64(int fd, off64_t size)
{
	return ftruncate(fd, size);
}
