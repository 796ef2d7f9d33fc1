// Blocks of 16 channels on AVX-512.
#include "ops.h"
#if defined(__x86_64__)
#pragma GCC target("avx512f,avx512vl,avx512dq,prefer-vector-width=512")
#define LANES 16
#define BLOCK 16
#include "group.h"
const ns_convs ns_wide16 = {ns_group};
#else
const ns_convs ns_wide16;
#endif
