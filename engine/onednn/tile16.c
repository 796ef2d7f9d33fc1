// Blocks of 16 channels on AVX-512.
#include "ops.h"
#if defined(__x86_64__)
#pragma GCC target("avx512f,avx512vl,avx512dq,prefer-vector-width=512")
#define LANES 16
#define BLOCK 16
#include "sums.h"
#include "planes.h"
const ns_tiles ns_tiles16 = {LANES, tile_choice, tile_product, tile_weights, planes_choice, planes_product, planes_weights};
#else
const ns_tiles ns_tiles16;
#endif
