// The same work as bench/kernel.ts in C with libbpf: kernel-peer batch MAP_ID | load COUNT. Prints milliseconds, for load also those of CPU time.
#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static int read_batches(uint32_t id)
{
	enum { ROOM = 32768 };
	int fd = bpf_map_get_fd_by_id(id);
	uint32_t *keys = malloc(ROOM * 4);
	uint64_t *values = malloc(ROOM * 8);
	uint64_t cursor = 0, sum = 0;
	uint32_t total = 0;
	double start = now();
	void *in = NULL;

	for (int done = 0; !done;) {
		uint32_t count = ROOM;
		int error = bpf_map_lookup_batch(fd, in, &cursor, keys, values, &count, NULL);

		if (error != 0 && error != -2)
			return 1;
		for (uint32_t i = 0; i < count; i++)
			sum += keys[i] ^ values[i];
		total += count;
		in = &cursor;
		done = error != 0;
	}
	printf("%f %u %llu\n", now() - start, total, (unsigned long long)sum);
	return 0;
}

static int load_programs(int count)
{
	static char log[65536];
	double start = now();

	for (int i = 0; i < count; i++) {
		uint64_t insns[32];
		int moves = i % 20 + 1;
		union bpf_attr attr;

		for (int k = 0; k <= moves; k++)
			insns[k] = 0xb7;
		insns[moves + 1] = 0x95;
		memset(&attr, 0, sizeof(attr));
		attr.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
		attr.insn_cnt = moves + 2;
		attr.insns = (uintptr_t)insns;
		attr.license = (uintptr_t) "GPL";
		attr.log_level = 4;
		attr.log_size = sizeof(log);
		attr.log_buf = (uintptr_t)log;
		int fd = syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));

		if (fd < 0)
			return 1;
		close(fd);
	}
	printf("%f %f\n", now() - start, clock() * 1e3 / CLOCKS_PER_SEC);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "batch") == 0)
		return read_batches(atoi(argv[2]));
	if (argc == 3 && strcmp(argv[1], "load") == 0)
		return load_programs(atoi(argv[2]));
	return 2;
}
