//go:build wasm

package runtime

import "unsafe"

// The level `error` of convoke:host/log.
const levelError = 4

//go:wasmimport convoke:host/log@0.1.0 log
func log(level int32, message unsafe.Pointer, length uint32, fields unsafe.Pointer, count uint32)

// The runtime's own hook for what it prints itself: why a panic or a fatal error
// ends the program.
//
//go:linkname overrideWrite runtime.overrideWrite
var overrideWrite func(file uintptr, from unsafe.Pointer, count int32) int32

// A stack of every goroutine says no more than the first few lines do.
const linesMax = 32

// A line that the runtime has not ended yet. It has a place of its own because
// nothing can be allocated any more when the runtime prints.
var line [256]byte
var lineLength, linesLogged int

func init() {
	overrideWrite = logLines
}

// logLines logs what the runtime prints, a line at a time: it prints in scraps.
func logLines(_ uintptr, from unsafe.Pointer, count int32) int32 {
	for at := int32(0); at < count; at++ {
		char := *(*byte)(unsafe.Add(from, at))
		if char == '\n' || lineLength == len(line) {
			if lineLength > 0 && linesLogged < linesMax {
				linesLogged++
				log(levelError, unsafe.Pointer(&line), uint32(lineLength), nil, 0)
			}
			lineLength = 0
		}
		switch {
		case char == '\n':
		case char == '\t':
			line[lineLength] = ' '
			lineLength++
		case char < ' ' || char > '~':
			// A line must be UTF-8 wherever it is cut.
			line[lineLength] = '?'
			lineLength++
		default:
			line[lineLength] = char
			lineLength++
		}
	}
	return count
}
