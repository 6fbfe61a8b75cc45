// The peer of bench/object.ts: opens a BPF object with libbpf as often as asked and prints the milliseconds of each time.
#include <bpf/libbpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static int quiet(enum libbpf_print_level level, const char *format, va_list args) { return 0; }

int main(int argc, char **argv) {
  int runs = argc > 2 ? atoi(argv[2]) : 1;
  libbpf_set_print(quiet);
  for (int i = 0; i < runs; i++) {
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    struct bpf_object *object = bpf_object__open(argv[1]);
    clock_gettime(CLOCK_MONOTONIC, &b);
    if (!object) return 1;
    bpf_object__close(object);
    printf("%f\n", (b.tv_sec - a.tv_sec) * 1e3 + (b.tv_nsec - a.tv_nsec) / 1e6);
  }
  return 0;
}
