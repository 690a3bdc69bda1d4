// App is an application that can be asked in every way in which the kubelet asks, and says on its standard output who
// asked: one line for each request, `PORT PEER WHAT [host=…] [probe=…]`.
//
// From port $PORT on it serves HTTP, HTTPS, TCP (says hello and closes), gRPC's health service, and HTTP again.
// It calls $AT_START before it listens and $AT_END after SIGTERM, when the last request has its answer; a call that
// fails ends it with 1. `app check` is a probe of kind exec.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

var requests atomic.Int64

func main() {
	log.SetFlags(0)
	log.SetOutput(os.Stdout)
	if len(os.Args) > 1 && os.Args[1] == "check" {
		return
	}
	port, err := strconv.Atoi(os.Getenv("PORT"))
	if err != nil {
		port = 8000
	}
	call("AT_START")

	told, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	secure := &tls.Config{Certificates: []tls.Certificate{certificate()}}
	servers := []*http.Server{
		serve(port, http.HandlerFunc(page), nil),
		serve(port+1, http.HandlerFunc(page), secure),
		serve(port+3, http.HandlerFunc(health), nil),
		serve(port+4, http.HandlerFunc(page), nil),
	}
	go greet(port + 2)
	<-told.Done()
	for _, server := range servers {
		// Returns once every request in flight has its answer.
		if err := server.Shutdown(context.Background()); err != nil {
			log.Fatal(err)
		}
	}
	call("AT_END")
}

// call asks for the URL in an environment variable, if it is set.
func call(variable string) {
	target := os.Getenv(variable)
	if target == "" {
		return
	}
	client := http.Client{Timeout: 5 * time.Second}
	response, err := client.Get(target)
	if err != nil {
		log.Fatalf("%s: %v", variable, err)
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	log.Printf("%s: %d %s", variable, response.StatusCode, strings.TrimSpace(string(body)))
	if response.StatusCode != http.StatusOK {
		os.Exit(1)
	}
}

func serve(port int, handler http.Handler, secure *tls.Config) *http.Server {
	server := &http.Server{Addr: fmt.Sprintf(":%d", port), Handler: handler, TLSConfig: secure, Protocols: new(http.Protocols)}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetHTTP2(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	listener, err := net.Listen("tcp", server.Addr)
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		var err error
		if secure == nil {
			err = server.Serve(listener)
		} else {
			err = server.ServeTLS(listener, "", "")
		}
		if err != http.ErrServerClosed {
			log.Fatal(err)
		}
	}()
	return server
}

func note(local net.Addr, peer string, what string, r *http.Request) {
	requests.Add(1)
	_, port, _ := net.SplitHostPort(local.String())
	host, _, _ := net.SplitHostPort(peer)
	line := fmt.Sprintf("%s %s %s", port, host, what)
	if r != nil {
		line += " host=" + r.Host
		if probe := r.Header.Get("X-Probe"); probe != "" {
			line += " probe=" + probe
		}
	}
	log.Print(line)
}

// page answers every path with what it knows of its client, but for those of which the name says something else.
func page(w http.ResponseWriter, r *http.Request) {
	local := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	note(local, r.RemoteAddr, scheme+" "+r.URL.RequestURI(), r)
	switch r.URL.Path {
	case "/unwell":
		http.Error(w, "the application is not well", http.StatusServiceUnavailable)
	case "/slow":
		pause, _ := time.ParseDuration(r.URL.Query().Get("for"))
		time.Sleep(pause)
		fmt.Fprintln(w, "slow but well")
	case "/tell":
		// Passes it on to whoever still listens when this one does not.
		response, err := http.Get(os.Getenv("WITNESS") + "?" + url.QueryEscape(r.URL.RawQuery))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		response.Body.Close()
	case "/metrics":
		fmt.Fprintf(w, "# TYPE app_requests_total counter\napp_requests_total %d\n", requests.Load())
	default:
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		fmt.Fprintf(w, "your address is %s\n", host)
	}
}

// health is grpc.health.v1.Health/Check: serving, but for the service `unwell`.
func health(w http.ResponseWriter, r *http.Request) {
	local := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	message, _ := io.ReadAll(r.Body)
	service := ""
	// A frame of five bytes, then field 1 with a length.
	if len(message) > 7 {
		service = string(message[7:])
	}
	note(local, r.RemoteAddr, strings.TrimSpace("grpc "+service), r)
	serving := byte(1)
	if service == "unwell" {
		serving = 2
	}
	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set("Trailer", "Grpc-Status")
	frame := binary.BigEndian.AppendUint32([]byte{0}, 2)
	w.Write(append(frame, 8, serving))
	w.Header().Set("Grpc-Status", "0")
}

func greet(port int) {
	listener, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
	if err != nil {
		log.Fatal(err)
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		note(connection.LocalAddr(), connection.RemoteAddr().String(), "tcp", nil)
		fmt.Fprintln(connection, "hello")
		connection.Close()
	}
}

func certificate() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour), DNSNames: []string{"app"}}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		log.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{signed}, PrivateKey: key}
}
