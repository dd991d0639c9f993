// Package runtime carries values between Go's memory and the host. Only the
// generated bindings call it.
package runtime

import (
	"fmt"
	"runtime"
	"unsafe"
)

// Handle names something of the host's, such as a joined group; 0 once it is given
// away or dropped.
type Handle struct {
	value int32
}

// MakeHandle takes over what the host gave.
func MakeHandle(value int32) *Handle {
	handle := &Handle{}
	handle.Set(value)
	return handle
}

// Use is the value, which stays here.
func (handle *Handle) Use() int32 {
	if handle.value == 0 {
		panic("used after it was dropped or given away")
	}
	return handle.value
}

// Take is the value, which is somebody else's from here on.
func (handle *Handle) Take() int32 {
	value := handle.Use()
	handle.value = 0
	return value
}

// TakeOrNil is the same, and 0 when there is none any more.
func (handle *Handle) TakeOrNil() int32 {
	value := handle.value
	handle.value = 0
	return value
}

// Set gives an empty handle its value.
func (handle *Handle) Set(value int32) {
	if value == 0 || handle.value != 0 {
		panic("a handle is set once, and not to 0")
	}
	handle.value = value
}

// Allocate makes memory that the collector leaves alone while it is pinned.
func Allocate(pinner *runtime.Pinner, size, align uintptr) unsafe.Pointer {
	const word = unsafe.Sizeof(uint64(0))
	if align > word {
		panic(fmt.Sprintf("an alignment of %d bytes, more than anything has", align))
	}
	if size == 0 {
		return nil
	}
	// What addresses it will hold is pinned, too, so it need not be looked through.
	memory := unsafe.Pointer(unsafe.SliceData(make([]uint64, (size+word-1)/word)))
	pinner.Pin(memory)
	return memory
}

// What the host has written here: arguments of calls, and what calls of ours gave.
var written runtime.Pinner

// Unpin leaves it to the collector: whatever is still used of it is known to Go by
// now.
func Unpin() {
	written.Unpin()
}

//go:wasmexport cabi_realloc
func reallocate(old unsafe.Pointer, oldSize, align, size uintptr) unsafe.Pointer {
	memory := Allocate(&written, size, align)
	if oldSize > 0 && size > 0 {
		copy(unsafe.Slice((*byte)(memory), size), unsafe.Slice((*byte)(old), oldSize))
	}
	return memory
}
