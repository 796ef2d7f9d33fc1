// Blocks of 8 channels on AVX2.
#define LANES 8
#define BLOCK 8
#include "sums.h"
#include "planes.h"
const ns_tiles ns_tiles8 = {LANES, tile_choice, tile_product, tile_weights, planes_choice, planes_product, planes_weights};
