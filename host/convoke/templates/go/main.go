// The component: the bindings contain the functions that the host calls, and call strategy.
package main

import _ "mode/bindings"

func main() {}
