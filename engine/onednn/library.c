#include "library.h"
#include "ns.h"
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)
#ifdef __APPLE__
#define LIBRARY "libdnnl." TEXT(DNNL_VERSION_MAJOR) ".dylib"
#else
#define LIBRARY "libdnnl.so." TEXT(DNNL_VERSION_MAJOR)
#endif

struct ns_dnnl dnnl;

// OpenMP's, NULL where oneDNN is built with threads of another kind.
static int (*omp_max)(void);
static void (*omp_set)(int);

static pthread_once_t once = PTHREAD_ONCE_INIT;
static char fault[512];

static void load(void) {
	void *lib = dlopen(LIBRARY, RTLD_LAZY | RTLD_LOCAL);
	if (!lib) {
		snprintf(fault, sizeof fault, "%s", dlerror());
		return;
	}
#define F(name) \
	if (!(dnnl.name = (__typeof__(dnnl.name))dlsym(lib, "dnnl_" #name))) { \
		snprintf(fault, sizeof fault, "%s", dlerror()); \
		return; \
	}
	NS_DNNL(F)
#undef F
	omp_max = (int (*)(void))dlsym(lib, "omp_get_max_threads");
	omp_set = (void (*)(int))dlsym(lib, "omp_set_num_threads");
}

const char *ns_library(void) {
	pthread_once(&once, load);
	return fault;
}

int ns_teams(int size) {
	if (!omp_max || !omp_set) return size;
	int before = omp_max();
	omp_set(size);
	return before;
}
