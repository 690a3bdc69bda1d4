//go:build tools

// Package coredns names the DNS server of the test cluster, so that `go mod tidy` keeps what it needs.
package coredns

import _ "github.com/coredns/coredns"
