// Blocks of 8 channels on AVX-512: two to a vector.
#include "ops.h"
#if defined(__x86_64__)
#pragma GCC target("avx512f,avx512vl,avx512dq,prefer-vector-width=512")
#include <immintrin.h>
#define LANES 16
#define BLOCK 8
#include "group.h"
const ns_convs ns_wide8x2 = {ns_group};
#else
const ns_convs ns_wide8x2;
#endif
