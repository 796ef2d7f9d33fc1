#if defined(__x86_64__)
#pragma GCC target("avx512f,avx512vl,avx512dq,prefer-vector-width=512")
#endif
#define LANES 16
#define KERNELS ns_kernels16
#include "kernels.h"
