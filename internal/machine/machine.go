// Package machine says what the machine is that the program runs on.
package machine

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/cpu"
)

// CPU describes the processor.
type CPU struct {
	Model    string   `json:"model"`    // "" if the system does not say
	Cores    int      `json:"cores"`    // logical ones that this process may use
	Features []string `json:"features"` // vector instruction sets that matter for training
}

// Memory is in bytes; 0 where the system does not say.
type Memory struct {
	Total     int64 `json:"total"`
	Available int64 `json:"available"`
	Limit     int64 `json:"limit,omitempty"` // of this process's control group, 0: none
}

// ReadCPU asks the system for its processor.
func ReadCPU() CPU {
	return CPU{Model: cpuModel(), Cores: runtime.NumCPU(), Features: features()}
}

func cpuModel() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	defer f.Close()
	for in := bufio.NewScanner(f); in.Scan(); {
		if key, value, ok := strings.Cut(in.Text(), ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func features() []string {
	list := []string{}
	for _, f := range []struct {
		name string
		has  bool
	}{
		{"sse4.1", cpu.X86.HasSSE41}, {"avx", cpu.X86.HasAVX}, {"avx2", cpu.X86.HasAVX2}, {"fma", cpu.X86.HasFMA},
		{"avx512f", cpu.X86.HasAVX512F}, {"avx512_bf16", cpu.X86.HasAVX512BF16}, {"amx_bf16", cpu.X86.HasAMXBF16},
		{"neon", cpu.ARM64.HasASIMD}, {"sve", cpu.ARM64.HasSVE},
	} {
		if f.has {
			list = append(list, f.name)
		}
	}
	return list
}

// ReadMemory asks the system how much memory there is.
func ReadMemory() Memory {
	var m Memory
	if f, err := os.Open("/proc/meminfo"); err == nil {
		defer f.Close()
		for in := bufio.NewScanner(f); in.Scan(); {
			var kilobytes int64
			if _, err := fmt.Sscanf(in.Text(), "MemTotal: %d kB", &kilobytes); err == nil {
				m.Total = kilobytes << 10
			}
			if _, err := fmt.Sscanf(in.Text(), "MemAvailable: %d kB", &kilobytes); err == nil {
				m.Available = kilobytes << 10
			}
		}
	}
	m.Limit = groupLimit("/proc/self/cgroup", "/sys/fs/cgroup")
	return m
}

// groupLimit is the smallest memory.max from a process's control group up to the root.
func groupLimit(self, root string) int64 {
	data, err := os.ReadFile(self)
	if err != nil {
		return 0
	}
	limit := int64(0)
	for line := range strings.Lines(string(data)) {
		group, unified := strings.CutPrefix(strings.TrimSpace(line), "0::")
		if !unified {
			continue
		}
		for at := filepath.Join(root, group); len(at) >= len(root); at = filepath.Dir(at) {
			text, err := os.ReadFile(filepath.Join(at, "memory.max"))
			if err != nil {
				continue
			}
			if v, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && (limit == 0 || v < limit) {
				limit = v
			}
		}
	}
	return limit
}

// Bound is the memory that all on this machine may use together: what there is, or what the control group or the Slurm job
// of this process has of it; 0 where the system does not say.
func (m Memory) Bound() int64 {
	bound := m.Total
	job := int64(0)
	if megabytes, err := strconv.ParseInt(os.Getenv("SLURM_MEM_PER_NODE"), 10, 64); err == nil {
		job = megabytes << 20
	}
	for _, limit := range []int64{m.Limit, job} {
		if limit > 0 && (bound == 0 || limit < bound) {
			bound = limit
		}
	}
	return bound
}

// Resident is the memory that this process and all that it has started hold, in bytes, without pages of files, of which all
// processes share one copy; 0 where the system does not say.
func Resident() int64 { return resident("self") }

func resident(pid string) int64 {
	data, err := os.ReadFile(filepath.Join("/proc", pid, "statm"))
	if err != nil {
		return 0
	}
	var size, pages, ofFiles int64
	if _, err := fmt.Sscan(string(data), &size, &pages, &ofFiles); err != nil {
		return 0
	}
	sum := (pages - ofFiles) * int64(os.Getpagesize())
	threads, _ := filepath.Glob(filepath.Join("/proc", pid, "task/*/children"))
	for _, thread := range threads {
		children, _ := os.ReadFile(thread)
		for _, child := range strings.Fields(string(children)) {
			sum += resident(child)
		}
	}
	return sum
}
