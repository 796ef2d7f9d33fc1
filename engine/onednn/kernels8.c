#define LANES 8
#define KERNELS ns_kernels8
#include "kernels.h"
