//go:build tools

// Package tools names the program that plays nodes, so that go.mod knows its version.
package tools

import (
	_ "sigs.k8s.io/kwok/cmd/kwok"
)
