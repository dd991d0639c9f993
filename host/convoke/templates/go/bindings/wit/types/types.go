// Package types has what the component model has and Go has not.
package types

// Unit is a value that says nothing.
type Unit struct{}

// Tuple2 is two values side by side, such as a key and its value.
type Tuple2[T0, T1 any] struct {
	F0 T0
	F1 T1
}

// Pair makes a field of a log line, or a hint of a candidate.
func Pair(key, value string) Tuple2[string, string] {
	return Tuple2[string, string]{F0: key, F1: value}
}

// What Option.Tag answers.
const (
	OptionNone uint8 = iota
	OptionSome
)

// Option is a value or none; as it is declared, it is none.
type Option[T any] struct {
	some  bool
	value T
}

// Some has a value.
func Some[T any](value T) Option[T] {
	return Option[T]{some: true, value: value}
}

// None has no value.
func None[T any]() Option[T] {
	return Option[T]{}
}

// Tag is OptionNone or OptionSome.
func (option Option[T]) Tag() uint8 {
	if option.some {
		return OptionSome
	}
	return OptionNone
}

// IsSome tells whether there is a value.
func (option Option[T]) IsSome() bool { return option.some }

// IsNone tells whether there is none.
func (option Option[T]) IsNone() bool { return !option.some }

// Some is the value. It panics when there is none.
func (option Option[T]) Some() T {
	if !option.some {
		panic("an option without a value was asked for it")
	}
	return option.value
}

// SomeOr is the value, or the other one when there is none.
func (option Option[T]) SomeOr(other T) T {
	if option.some {
		return option.value
	}
	return other
}

// What Result.Tag answers.
const (
	ResultOk uint8 = iota
	ResultErr
)

// Result is what a call gave, or why it failed.
type Result[T, E any] struct {
	failed bool
	value  T
	err    E
}

// Ok is what a call gave.
func Ok[T, E any](value T) Result[T, E] {
	return Result[T, E]{value: value}
}

// Err is why a call failed.
func Err[T, E any](err E) Result[T, E] {
	return Result[T, E]{failed: true, err: err}
}

// Tag is ResultOk or ResultErr.
func (result Result[T, E]) Tag() uint8 {
	if result.failed {
		return ResultErr
	}
	return ResultOk
}

// IsOk tells whether the call gave something.
func (result Result[T, E]) IsOk() bool { return !result.failed }

// IsErr tells whether the call failed.
func (result Result[T, E]) IsErr() bool { return result.failed }

// Ok is what the call gave. It panics when the call failed.
func (result Result[T, E]) Ok() T {
	if result.failed {
		panic("a result that failed was asked for its value")
	}
	return result.value
}

// Err is why the call failed. It panics when it did not.
func (result Result[T, E]) Err() E {
	if !result.failed {
		panic("a result that did not fail was asked for its error")
	}
	return result.err
}
