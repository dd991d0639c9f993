// The component: what the host calls is in bindings, and leads to strategy.
package main

import _ "mode/bindings"

func main() {}
