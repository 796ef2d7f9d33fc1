package onnx

import (
	"encoding/binary"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// This file writes the few messages of onnx.proto that a model consists of. They
// are so few that field numbers by name are less than generated code.

// irVersion is the version of the file format that came with opset 17.
const irVersion = 8

// Field numbers of onnx.proto.
const (
	modelIRVersion, modelProducer, modelGraph, modelOpset, modelMetadata = 1, 2, 7, 8, 14 // ModelProto
	opsetVersion                                                         = 2              // OperatorSetIdProto
	entryKey, entryValue                                                 = 1, 2           // StringStringEntryProto

	graphNode, graphName, graphInitializer, graphInput, graphOutput = 1, 2, 5, 11, 12 // GraphProto
	nodeInput, nodeOutput, nodeName, nodeOp, nodeAttribute          = 1, 2, 3, 4, 5   // NodeProto
	attributeName, attributeFloat, attributeInt                     = 1, 2, 3         // AttributeProto
	attributeInts, attributeType                                    = 8, 20
	tensorDims, tensorType, tensorName, tensorRaw                   = 1, 2, 8, 9 // TensorProto
	valueName, valueType                                            = 1, 2       // ValueInfoProto
	typeTensor, tensorTypeElement, tensorTypeShape                  = 1, 1, 2    // TypeProto, TypeProto.Tensor
	shapeDim, dimValue, dimParam                                    = 1, 1, 2    // TensorShapeProto, its Dimension
)

// Values of enumerations there.
const (
	float32Tensor, int64Tensor                  = 1, 7    // TensorProto.DataType
	floatAttribute, intAttribute, intsAttribute = 1, 2, 7 // AttributeProto.AttributeType
)

// message is a protobuf message as bytes.
type message []byte

func (m *message) int(field protowire.Number, v int) {
	*m = protowire.AppendTag(*m, field, protowire.VarintType)
	*m = protowire.AppendVarint(*m, uint64(v))
}

func (m *message) text(field protowire.Number, s string) {
	*m = protowire.AppendTag(*m, field, protowire.BytesType)
	*m = protowire.AppendString(*m, s)
}

// begin announces a field of so many bytes, which are to follow.
func (m *message) begin(field protowire.Number, size int) {
	*m = protowire.AppendTag(*m, field, protowire.BytesType)
	*m = protowire.AppendVarint(*m, uint64(size))
}

func (m *message) message(field protowire.Number, fill func(m *message)) {
	var inner message
	fill(&inner)
	m.begin(field, len(inner))
	*m = append(*m, inner...)
}

// value writes a ValueInfoProto of float32 numbers; a dimension is a number, or a
// string that is its symbol.
func (m *message) value(field protowire.Number, name string, dims ...any) {
	m.message(field, func(m *message) {
		m.text(valueName, name)
		m.message(valueType, func(m *message) {
			m.message(typeTensor, func(m *message) {
				m.int(tensorTypeElement, float32Tensor)
				m.message(tensorTypeShape, func(m *message) {
					for _, d := range dims {
						m.message(shapeDim, func(m *message) {
							switch d := d.(type) {
							case int:
								m.int(dimValue, d)
							case string:
								m.text(dimParam, d)
							}
						})
					}
				})
			})
		})
	})
}

// attribute writes an AttributeProto.
type attribute func(m *message)

func number(name string, v int) attribute {
	return func(m *message) {
		m.text(attributeName, name)
		m.int(attributeInt, v)
		m.int(attributeType, intAttribute)
	}
}

func numbers(name string, list ...int) attribute {
	return func(m *message) {
		m.text(attributeName, name)
		for _, v := range list {
			m.int(attributeInts, v)
		}
		m.int(attributeType, intsAttribute)
	}
}

func float(name string, v float64) attribute {
	return func(m *message) {
		m.text(attributeName, name)
		*m = protowire.AppendTag(*m, attributeFloat, protowire.Fixed32Type)
		*m = protowire.AppendFixed32(*m, math.Float32bits(float32(v)))
		m.int(attributeType, floatAttribute)
	}
}

// op writes a node of one output, which is its name too.
func (w *writer) op(kind string, in []string, out string, attributes ...attribute) {
	w.node(kind, in, []string{out}, out, attributes...)
}

// node writes a node.
func (w *writer) node(kind string, in, out []string, name string, attributes ...attribute) {
	w.out.message(graphNode, func(m *message) {
		for _, name := range in {
			m.text(nodeInput, name)
		}
		for _, name := range out {
			m.text(nodeOutput, name)
		}
		m.text(nodeName, name)
		m.text(nodeOp, kind)
		for _, a := range attributes {
			m.message(nodeAttribute, a)
		}
	})
}

// initializer writes a tensor of float32 numbers.
func (w *writer) initializer(name string, shape []int, values []float32) {
	w.beginTensor(name, float32Tensor, shape, 4*len(values))
	for _, v := range values {
		w.out = binary.LittleEndian.AppendUint32(w.out, math.Float32bits(v))
	}
}

// integers writes a list of whole numbers as a tensor.
func (w *writer) integers(name string, values ...int) {
	w.beginTensor(name, int64Tensor, []int{len(values)}, 8*len(values))
	for _, v := range values {
		w.out = binary.LittleEndian.AppendUint64(w.out, uint64(v))
	}
}

// beginTensor writes all of a tensor but its values, so many bytes of which are to follow.
func (w *writer) beginTensor(name string, kind int, shape []int, size int) {
	var head message
	for _, d := range shape {
		head.int(tensorDims, d)
	}
	head.int(tensorType, kind)
	head.text(tensorName, name)
	head.begin(tensorRaw, size)
	w.out.begin(graphInitializer, len(head)+size)
	w.out = append(w.out, head...)
}
