#ifndef DIRECT_H
#define DIRECT_H
#include "ns.h"

// which: 0 forward (reads src and w, writes dst), 1 backward data (reads dst
// and w, writes src), 2 backward weights (reads src and dst, writes w).
void ns_direct(const ns_shape *s, int which, float *src, float *w, float *dst);
#endif
