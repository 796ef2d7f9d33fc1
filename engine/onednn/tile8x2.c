// Blocks of 8 channels on AVX-512: each output has two lanes.
#include "ops.h"
#if defined(__x86_64__)
#pragma GCC target("avx512f,avx512vl,avx512dq,prefer-vector-width=512")
#include <immintrin.h>
#define LANES 16
#define BLOCK 8
#include "sums.h"
#include "planes.h"
const ns_tiles ns_tiles8x2 = {LANES, tile_choice, tile_product, tile_weights, planes_choice, planes_product, planes_weights};
#else
const ns_tiles ns_tiles8x2;
#endif
