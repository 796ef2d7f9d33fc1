// Vectors of LANES floats, 8 or 16, as the including file says; BLOCK, where it matters, is how
// many channels lie side by side in memory.
#ifndef VEC_H
#define VEC_H
#include <math.h>
#include <stdint.h>

typedef float vf __attribute__((vector_size(LANES * 4), aligned(4)));
typedef int32_t vi __attribute__((vector_size(LANES * 4)));
#define ALIGNED __attribute__((aligned(64))) // for arrays of vectors: a load from two cache lines is two
#define INLINE static inline __attribute__((always_inline))

INLINE vf splat(float x) { return x - (vf){}; } // minus zero costs nothing: it changes no number
INLINE vf load(const float *p) { return *(const vf *)p; }
INLINE void store(float *p, vf v) { *(vf *)p = v; }

// bfloat16: the upper half of a float. What is kept is rounded to the nearest, ties to even; a NaN stays one.
typedef uint16_t vh __attribute__((vector_size(LANES * 2), aligned(2), may_alias));
typedef uint32_t vu __attribute__((vector_size(LANES * 4)));
INLINE vf widen(const uint16_t *p) { return (vf)(__builtin_convertvector(*(const vh *)p, vu) << 16); }
INLINE vf rounded(vf v) {
	vu u = (vu)v, nan = (vu)(v != v);
	u += ((0x7fff + ((u >> 16) & 1)) & ~nan) | (0x400000 & nan & ~u);
	return (vf)(u & 0xffff0000);
}
INLINE void store_rounded(uint16_t *p, vf v) { *(vh *)p = __builtin_convertvector((vu)v >> 16, vh); } // of what is rounded

INLINE vf pick(vi mask, vf a, vf b) { return (vf)((mask & (vi)a) | (~mask & (vi)b)); }
// Both keep a NaN that they meet in a, so that training that diverged shows it.
INLINE vf maximum(vf a, vf b) { return pick(a < b, b, a); }
INLINE vf max_nan(vf a, vf b) { return pick((b > a) | (b != b), b, a); }

#ifdef BLOCK
// A vector from or to a block, or where it is as wide as two from two that lie next floats apart.
INLINE vf load_apart(const float *p, int64_t next) {
#if LANES == BLOCK
	return load(p);
#else
	return (vf)_mm512_insertf32x8(_mm512_castps256_ps512(_mm256_loadu_ps(p)), _mm256_loadu_ps(p + next), 1);
#endif
}

INLINE void store_apart(float *p, int64_t next, vf v) {
#if LANES == BLOCK
	store(p, v);
#else
	_mm256_storeu_ps(p, _mm512_castps512_ps256((__m512)v));
	_mm256_storeu_ps(p + next, _mm512_extractf32x8_ps((__m512)v, 1));
#endif
}

// A block, twice where a vector holds two.
INLINE vf load_both(const float *p) {
#if LANES == BLOCK
	return load(p);
#else
	return (vf)_mm512_broadcast_f32x8(_mm256_loadu_ps(p));
#endif
}

// The first block of a vector that holds two, to memory and alone.
INLINE void store_half(float *p, vf v) {
#if LANES == BLOCK
	store(p, v);
#else
	_mm256_storeu_ps(p, _mm512_castps512_ps256((__m512)v));
#endif
}

// The next of the inputs, on all lanes; or the next two, in turns.
INLINE vf splat_step(const float *p) {
#if LANES == BLOCK
	return splat(*p);
#else
	return (vf)_mm512_broadcastsd_pd(_mm_load_sd((const double *)p));
#endif
}

// A block, each channel twice where a vector holds two.
INLINE vf load_steps(const float *p) {
#if LANES == BLOCK
	return load(p);
#else
	return (vf)_mm512_permutexvar_ps(_mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7), _mm512_castps256_ps512(_mm256_loadu_ps(p)));
#endif
}

#if LANES != BLOCK
// The sums of lanes side by side, those of a in the first block.
INLINE vf add_pairs(vf a, vf b) {
	const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
	const __m512i odd = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
	return (vf)_mm512_permutex2var_ps((__m512)a, even, (__m512)b) + (vf)_mm512_permutex2var_ps((__m512)a, odd, (__m512)b);
}
#endif

INLINE vf lower_half(vf v) {
#if LANES == BLOCK
	return v;
#else
	return (vf)_mm512_zextps256_ps512(_mm512_castps512_ps256((__m512)v));
#endif
}
#endif

// exp by Cody-Waite reduction and a degree-6 polynomial; below 2 ulp on
// [-87, 88], clamped outside.
INLINE vf exponential(vf x) {
	x = pick(x > splat(88.f), splat(88.f), x);
	x = pick(x < splat(-87.f), splat(-87.f), x);
	const vf magic = splat(12582912.f); // 1.5 * 2^23: adding it rounds to an integer
	vf n = x * splat(1.44269504088896341f) + magic;
	vi e = (vi)n << 23; // the low bits of n are the integer
	n -= magic;
	vf r = x - n * splat(0.693359375f) + n * splat(2.12194440e-4f);
	vf p = splat(1.9875691500e-4f);
	p = p * r + splat(1.3981999507e-3f);
	p = p * r + splat(8.3334519073e-3f);
	p = p * r + splat(4.1665795894e-2f);
	p = p * r + splat(1.6666665459e-1f);
	p = p * r + splat(5.0000001201e-1f);
	p = p * r * r + r + splat(1.f);
	return (vf)((vi)p + e);
}

INLINE vf sigmoid(vf x) { return splat(1.f) / (splat(1.f) + exponential(-x)); }

// act and its derivative at z; act is a constant where these are inlined.
INLINE vf act_of(vf z, int act) {
	switch (act) {
	case 1: return maximum(z, splat(0.f));
	case 2: return z * sigmoid(z);
	case 3: return sigmoid(z);
	}
	return z;
}

// g * act'(z)
INLINE vf dact(vf g, vf z, int act) {
	switch (act) {
	case 1: return (vf)((z > splat(0.f)) & (vi)g);
	case 2: {
		vf s = sigmoid(z);
		return g * (s * (splat(1.f) + z * (splat(1.f) - s)));
	}
	case 3: {
		vf s = sigmoid(z);
		return g * (s * (splat(1.f) - s));
	}
	}
	return g;
}

INLINE void add_double(double *acc, vf v) {
	for (int i = 0; i < LANES; i++) acc[i] += v[i];
}
#endif
