package torchfile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// The opcodes of checkpoints, of protocols 2 to 4 (Python's Lib/pickletools.py).
const (
	opProto, opFrame, opStop, opMark, opPop, opPopMark                    = 0x80, 0x95, '.', '(', '0', '1'
	opNone, opTrue, opFalse                                               = 'N', 0x88, 0x89
	opInt4, opInt1, opInt2, opLong1, opLong4, opFloat                     = 'J', 'K', 'M', 0x8a, 0x8b, 'G'
	opText, opText1, opText8, opString, opString1, opBytes, opBytes1      = 'X', 0x8c, 0x8d, 'T', 'U', 'B', 'C'
	opEmptyDict, opEmptyList, opEmptyTuple, opEmptySet                    = '}', ']', ')', 0x8f
	opTuple, opTuple1, opTuple2, opTuple3                                 = 't', 0x85, 0x86, 0x87
	opAppend, opAppends, opSetItem, opSetItems, opAddItems                = 'a', 'e', 's', 'u', 0x90
	opPut1, opPut4, opMemoize, opGet1, opGet4                             = 'q', 'r', 0x94, 'h', 'j'
	opGlobal, opStackGlobal, opReduce, opNewObject, opBuild, opPersistent = 'c', 0x93, 'R', 0x81, 'b', 'Q'
)

// What a pickle builds, beside strings, int64, float64, bool and nil.
type (
	dict  struct{ items []item }
	item  struct{ key, value any }
	list  struct{ items []any }
	tuple []any
	// class is what a pickle names, to be made.
	class struct{ module, name string }
	// opaque is an object of which nothing is kept.
	opaque struct{ class class }
	mark   struct{}
)

// Objects that checkpoints of the programs in stateKeys have beside tensors, and that are passed over.
var passedOver = map[class]bool{
	{"argparse", "Namespace"}: true, {"numpy.core.multiarray", "scalar"}: true, {"numpy._core.multiarray", "scalar"}: true, {"numpy", "dtype"}: true,
	{"_codecs", "encode"}: true, {"torch", "device"}: true, {"torch", "Size"}: true, {"torch", "float32"}: true, {"collections", "defaultdict"}: true,
	{"builtins", "dict"}: true, {"builtins", "set"}: true, {"__builtin__", "dict"}: true, {"__builtin__", "set"}: true,
}

func describe(v any) string {
	switch v := v.(type) {
	case *tensor:
		return "a tensor"
	case *list, tuple:
		return "a list"
	case opaque:
		return v.class.module + "." + v.class.name
	}
	return fmt.Sprintf("%v", v)
}

// pickle is the machine.
type pickle struct {
	in       []byte // that is left
	stack    []any
	memo     map[uint32]any
	storages map[string]*storage
}

// unpickle runs the pickle at the beginning of in, and gives what it makes and what follows it.
func unpickle(in []byte) (any, []byte, error) {
	p := pickle{in: in}
	v, err := p.run()
	return v, p.in, err
}

func (p *pickle) run() (any, error) {
	p.memo, p.storages = map[uint32]any{}, map[string]*storage{}
	for {
		op, err := p.take(1)
		if err != nil {
			return nil, err
		}
		if op[0] == opStop {
			if len(p.stack) != 1 {
				return nil, wrong("its pickle ends with %d values", len(p.stack))
			}
			return p.stack[0], nil
		}
		if err := p.step(op[0]); err != nil {
			return nil, err
		}
	}
}

func (p *pickle) take(n uint64) ([]byte, error) {
	if n > uint64(len(p.in)) {
		return nil, wrong("its pickle is cut short")
	}
	b := p.in[:n]
	p.in = p.in[n:]
	return b, nil
}

// number reads a little-endian number of so many bytes.
func (p *pickle) number(bytes uint64) (uint64, error) {
	b, err := p.take(bytes)
	if err != nil {
		return 0, err
	}
	var word [8]byte
	copy(word[:], b)
	return binary.LittleEndian.Uint64(word[:]), nil
}

// counted reads a number of so many bytes and then as many bytes as it says.
func (p *pickle) counted(bytes uint64) ([]byte, error) {
	n, err := p.number(bytes)
	if err != nil {
		return nil, err
	}
	return p.take(n)
}

func (p *pickle) push(v any) { p.stack = append(p.stack, v) }

func (p *pickle) pop() (any, error) {
	if len(p.stack) == 0 {
		return nil, wrong("its pickle takes a value where none is")
	}
	v := p.stack[len(p.stack)-1]
	p.stack = p.stack[:len(p.stack)-1]
	return v, nil
}

// marked takes the values above the last mark, and the mark.
func (p *pickle) marked() ([]any, error) {
	for i := len(p.stack) - 1; i >= 0; i-- {
		if _, ok := p.stack[i].(mark); ok {
			values := slices.Clone(p.stack[i+1:])
			p.stack = p.stack[:i]
			return values, nil
		}
	}
	return nil, wrong("its pickle lacks a mark")
}

func (p *pickle) popN(n int) ([]any, error) {
	if n > len(p.stack) {
		return nil, wrong("its pickle takes a value where none is")
	}
	values := slices.Clone(p.stack[len(p.stack)-n:])
	p.stack = p.stack[:len(p.stack)-n]
	return values, nil
}

func (p *pickle) step(op byte) error {
	switch op {
	case opProto:
		_, err := p.take(1)
		return err
	case opFrame:
		_, err := p.take(8)
		return err
	case opMark:
		p.push(mark{})
	case opPop:
		_, err := p.pop()
		return err
	case opPopMark:
		_, err := p.marked()
		return err
	case opNone:
		p.push(nil)
	case opTrue, opFalse:
		p.push(op == opTrue)
	case opEmptyDict:
		p.push(&dict{})
	case opEmptyList, opEmptySet:
		p.push(&list{})
	case opEmptyTuple:
		p.push(tuple{})
	case opPut1, opPut4, opMemoize, opGet1, opGet4:
		return p.remember(op)
	case opInt1, opInt2, opInt4, opLong1, opLong4, opFloat, opText, opText1, opText8, opString, opString1, opBytes, opBytes1:
		return p.literal(op)
	case opTuple, opTuple1, opTuple2, opTuple3, opAppend, opAppends, opAddItems, opSetItem, opSetItems:
		return p.collect(op)
	case opGlobal, opStackGlobal, opReduce, opNewObject, opBuild, opPersistent:
		return p.object(op)
	default:
		return wrong("its pickle has opcode %#x, which checkpoints do not need", op)
	}
	return nil
}

// remember writes and reads the memo.
func (p *pickle) remember(op byte) error {
	size := uint64(1)
	if op == opPut4 || op == opGet4 {
		size = 4
	}
	key := uint64(len(p.memo))
	if op != opMemoize {
		var err error
		if key, err = p.number(size); err != nil {
			return err
		}
	}
	if op == opGet1 || op == opGet4 {
		v, ok := p.memo[uint32(key)]
		if !ok {
			return wrong("its pickle refers to what it did not make")
		}
		p.push(v)
		return nil
	}
	if len(p.stack) == 0 {
		return wrong("its pickle takes a value where none is")
	}
	p.memo[uint32(key)] = p.stack[len(p.stack)-1]
	return nil
}

// literal reads a number or a string.
func (p *pickle) literal(op byte) error {
	lengths := map[byte]uint64{opText: 4, opText1: 1, opText8: 8, opString: 4, opString1: 1, opBytes: 4, opBytes1: 1, opLong1: 1, opLong4: 4}
	if n, ok := lengths[op]; ok {
		b, err := p.counted(n)
		if err != nil {
			return err
		}
		if op != opLong1 && op != opLong4 || len(b) > 8 { // a number of more than 64 bits is kept as its bytes
			p.push(string(b))
			return nil
		}
		var word [8]byte
		if len(b) > 0 && b[len(b)-1]&0x80 != 0 {
			word = [8]byte(bytes.Repeat([]byte{0xff}, 8))
		}
		copy(word[:], b)
		p.push(int64(binary.LittleEndian.Uint64(word[:])))
		return nil
	}
	n, err := p.number(map[byte]uint64{opInt1: 1, opInt2: 2, opInt4: 4, opFloat: 8}[op])
	switch {
	case err != nil:
		return err
	case op == opInt4:
		p.push(int64(int32(n)))
	case op == opFloat:
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], n)
		p.push(math.Float64frombits(binary.BigEndian.Uint64(b[:])))
	default:
		p.push(int64(n))
	}
	return nil
}

// collect fills tuples, lists, sets and dictionaries.
func (p *pickle) collect(op byte) error {
	var values []any
	var err error
	switch op {
	case opTuple1, opTuple2, opTuple3:
		values, err = p.popN(int(op-opTuple1) + 1)
	case opAppend:
		values, err = p.popN(1)
	case opSetItem:
		values, err = p.popN(2)
	default:
		values, err = p.marked()
	}
	if err != nil {
		return err
	}
	switch op {
	case opTuple, opTuple1, opTuple2, opTuple3:
		p.push(tuple(values))
		return nil
	}
	if len(p.stack) == 0 {
		return wrong("its pickle takes a value where none is")
	}
	switch to := p.stack[len(p.stack)-1].(type) {
	case *list:
		if op != opSetItem && op != opSetItems {
			to.items = append(to.items, values...)
			return nil
		}
	case *dict:
		if (op == opSetItem || op == opSetItems) && len(values)%2 == 0 {
			for i := 0; i < len(values); i += 2 {
				to.items = append(to.items, item{values[i], values[i+1]})
			}
			return nil
		}
	case opaque:
		return nil
	}
	return wrong("its pickle fills what is no collection of that kind")
}

// object names classes and makes what is known of them.
func (p *pickle) object(op byte) error {
	switch op {
	case opGlobal:
		var words [2]string
		for i := range words {
			end := bytes.IndexByte(p.in, '\n')
			if end < 0 {
				return wrong("its pickle is cut short")
			}
			words[i] = string(p.in[:end])
			p.in = p.in[end+1:]
		}
		return p.name(class{words[0], words[1]})
	case opPersistent:
		v, err := p.pop()
		if err != nil {
			return err
		}
		return p.persistent(v)
	}
	values, err := p.popN(2)
	if err != nil {
		return err
	}
	if op == opStackGlobal {
		module, ok := values[0].(string)
		name, also := values[1].(string)
		if !ok || !also {
			return wrong("its pickle names a class by what is no text")
		}
		return p.name(class{module, name})
	}
	if op == opBuild {
		// A dictionary of PyTorch has attributes (_metadata), objects that are passed over have them too.
		switch values[0].(type) {
		case *dict, opaque:
			p.push(values[0])
			return nil
		}
		return wrong("its pickle sets attributes of what has none")
	}
	of, ok := values[0].(class)
	args, also := values[1].(tuple)
	if !ok || !also {
		return wrong("its pickle calls what is no function")
	}
	return p.make(of, args)
}

// name pushes a class, if it is one that is known.
func (p *pickle) name(c class) error {
	_, stored := storageTypes[c.name]
	switch {
	case c.module == "torch" && stored, passedOver[c], c == orderedDict, c == rebuildTensor, c == rebuildParameter:
		p.push(c)
		return nil
	}
	return wrong("its pickle asks for %.100s.%.100s, which is not read from files", c.module, c.name)
}

var (
	orderedDict      = class{"collections", "OrderedDict"}
	rebuildTensor    = class{"torch._utils", "_rebuild_tensor_v2"}
	rebuildParameter = class{"torch._utils", "_rebuild_parameter"}
)

// make is what a call of a known class would give.
func (p *pickle) make(of class, args tuple) error {
	switch of {
	case orderedDict:
		if len(args) != 0 {
			return wrong("its pickle makes a dictionary in a way that is not read")
		}
		p.push(&dict{})
	case rebuildParameter:
		if len(args) < 1 {
			return wrong("its pickle makes a parameter of nothing")
		}
		t, ok := args[0].(*tensor)
		if !ok {
			return wrong("its pickle makes a parameter of no tensor")
		}
		p.push(t)
	case rebuildTensor:
		if len(args) < 4 {
			return wrong("its pickle makes a tensor of too little")
		}
		s, ok := args[0].(*storage)
		offset, also := args[1].(int64)
		size, sized := numbers(args[2])
		stride, strided := numbers(args[3])
		if !ok || !also || !sized || !strided || len(size) != len(stride) || len(size) > 8 {
			return wrong("its pickle makes a tensor of what is no storage, offset, shape and strides")
		}
		p.push(&tensor{s, offset, size, stride})
	default:
		if _, stored := storageTypes[of.name]; stored {
			return wrong("its pickle makes a storage of its own")
		}
		p.push(opaque{of})
	}
	return nil
}

func numbers(v any) ([]int64, bool) {
	t, ok := v.(tuple)
	if !ok {
		return nil, false
	}
	all := make([]int64, len(t))
	for i := range t {
		if all[i], ok = t[i].(int64); !ok {
			return nil, false
		}
	}
	return all, true
}

// persistent pushes the storage that an id names: ("storage", type, key, device, elements), in the older
// format with a view of it, which is none.
func (p *pickle) persistent(id any) error {
	t, ok := id.(tuple)
	if !ok || len(t) < 5 || len(t) > 6 || t[0] != "storage" || len(t) == 6 && t[5] != nil {
		return wrong("its pickle refers to what is no storage")
	}
	of, ok := t[1].(class)
	key, also := t[2].(string)
	if !ok || !also || storageTypes[of.name] == "" || of.module != "torch" {
		return wrong("its pickle refers to a storage of no known type")
	}
	s := p.storages[key]
	if s == nil {
		s = &storage{key, storageTypes[of.name]}
		p.storages[key] = s
	}
	if s.dtype != storageTypes[of.name] {
		return wrong("storage %s has two types", key)
	}
	p.push(s)
	return nil
}
