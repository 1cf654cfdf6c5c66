// SPDX-License-Identifier: Apache-2.0

// The etcd server that holds the real plane's objects.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }
