#define LANES 8
#define IMAGES 1
#define KERNELS ns_kernels8
#include "kernels.h"
