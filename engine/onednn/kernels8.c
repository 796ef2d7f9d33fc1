#define LANES 8
#define BLOCK 8
#define KERNELS ns_kernels8
#include "kernels.h"
#include "group.h"
const ns_convs ns_convs8 = {ns_group};
