//go:build cgo

package onednn

import (
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// AVX-512's encoding, which begins with the byte 62 whatever the width of the registers, or its masks.
var avx512Instruction = regexp.MustCompile(`:\t62 |%k[0-7]`)

// Instructions of AVX-512 occur only in what runs on AVX-512 alone: the code of all
// else, as it was compiled, has none.
func TestInstructionSets(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the kernels need no special instructions on " + runtime.GOARCH)
	}
	for _, tool := range []string{"go", "objdump"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(err)
		}
	}
	archive, err := exec.Command("go", "list", "-export", "-f", "{{.Export}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	// Parts that are not C it names and skips, with status 1.
	code, _ := exec.Command("objdump", "-t", "-d", strings.TrimSpace(string(archive))).Output()
	wide := map[string]bool{"kernels16.c": true, "tile8x2.c": true, "tile16.c": true}
	file, function := "", ""
	count := map[string]int{} // by file
	for line := range strings.Lines(string(code)) {
		switch {
		case strings.Contains(line, " df *ABS*"):
			file = line[strings.LastIndexAny(line, " \t")+1 : len(line)-1]
			count[file] += 0
		case strings.HasSuffix(line, ">:\n"):
			function = line[strings.Index(line, "<")+1 : len(line)-3]
		case avx512Instruction.MatchString(line):
			count[file]++
			if !wide[file] && !(file == "peak.c" && function == "chains16") {
				t.Fatalf("%s, %s: %s", file, function, line)
			}
		}
	}
	for _, name := range []string{"conv.c", "run.c", "library.c", "peak.c", "kernels8.c", "kernels16.c", "tile.c", "tile8.c", "tile8x2.c", "tile16.c"} {
		if n, there := count[name]; !there || wide[name] && n == 0 {
			t.Errorf("%s: %d instructions of AVX-512 were found", name, n)
		}
	}
}
