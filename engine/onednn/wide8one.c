// Blocks of 8 channels on AVX-512, one to a vector: the last of an odd number.
#include "ops.h"
#if defined(__x86_64__)
#pragma GCC target("avx512f,avx512vl,avx512dq")
#define LANES 8
#define BLOCK 8
#include "pointwise.h"
const ns_convs ns_wide8 = {0, pointwise_product, pointwise_gradient};
#else
const ns_convs ns_wide8;
#endif
