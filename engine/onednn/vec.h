// Eight-lane vectors: one channel block of nChw8c.
#ifndef VEC_H
#define VEC_H
#include <math.h>
#include <stdint.h>

typedef float v8 __attribute__((vector_size(32), aligned(4)));
typedef int32_t i8 __attribute__((vector_size(32)));
typedef double d4 __attribute__((vector_size(32), aligned(8)));
#define INLINE static inline __attribute__((always_inline))

INLINE v8 splat(float x) { return (v8){x, x, x, x, x, x, x, x}; }
INLINE v8 load8(const float *p) { return *(const v8 *)p; }
INLINE void store8(float *p, v8 v) { *(v8 *)p = v; }
INLINE v8 select8(i8 mask, v8 a, v8 b) { return (v8)((mask & (i8)a) | (~mask & (i8)b)); }
// Both keep a NaN that they meet in a, so that training that diverged shows it.
INLINE v8 max8(v8 a, v8 b) { return select8(a < b, b, a); }
INLINE v8 max8nan(v8 a, v8 b) { return select8((b > a) | (b != b), b, a); }

// exp by Cody-Waite reduction and a degree-6 polynomial; below 2 ulp on
// [-87, 88], clamped outside.
INLINE v8 exp8(v8 x) {
	x = select8(x > splat(88.f), splat(88.f), x);
	x = select8(x < splat(-87.f), splat(-87.f), x);
	const v8 magic = splat(12582912.f); // 1.5 * 2^23: adding it rounds to an integer
	v8 n = x * splat(1.44269504088896341f) + magic;
	i8 e = (i8)n << 23; // the low bits of n are the integer
	n -= magic;
	v8 r = x - n * splat(0.693359375f) + n * splat(2.12194440e-4f);
	v8 p = splat(1.9875691500e-4f);
	p = p * r + splat(1.3981999507e-3f);
	p = p * r + splat(8.3334519073e-3f);
	p = p * r + splat(4.1665795894e-2f);
	p = p * r + splat(1.6666665459e-1f);
	p = p * r + splat(5.0000001201e-1f);
	p = p * r * r + r + splat(1.f);
	return (v8)((i8)p + e);
}

INLINE v8 sigmoid8(v8 x) { return splat(1.f) / (splat(1.f) + exp8(-x)); }

// act and its derivative at z; act is a constant where these are inlined.
INLINE v8 act8(v8 z, int act) {
	switch (act) {
	case 1: return max8(z, splat(0.f));
	case 2: return z * sigmoid8(z);
	case 3: return sigmoid8(z);
	}
	return z;
}

// g * act'(z)
INLINE v8 dact8(v8 g, v8 z, int act) {
	switch (act) {
	case 1: return (v8)((z > splat(0.f)) & (i8)g);
	case 2: {
		v8 s = sigmoid8(z);
		return g * (s * (splat(1.f) + z * (splat(1.f) - s)));
	}
	case 3: {
		v8 s = sigmoid8(z);
		return g * (s * (splat(1.f) - s));
	}
	}
	return g;
}

INLINE void add_double(double *acc, v8 v) {
	for (int i = 0; i < 8; i++) acc[i] += v[i];
}
#endif
