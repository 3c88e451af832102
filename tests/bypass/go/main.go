// A Go server with its own multiplexer, which ends a method override as middleware does: bypass PORT RECORD
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
)

func main() {
	record, err := os.OpenFile(os.Args[2], os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	record.Close()
	var guard sync.Mutex
	pay := func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		guard.Lock()
		defer guard.Unlock()
		// The file is opened anew, since whoever reads it takes it away.
		record, _ := os.OpenFile(os.Args[2], os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		fmt.Fprintf(record, "%x %x\n", r.RequestURI, body)
		record.Close()
		fmt.Fprint(w, "paid")
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/pay", pay)
	mux.HandleFunc("POST /api/pay/", pay)
	overridden := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if method := r.Header.Get("X-HTTP-Method-Override"); method != "" {
			r.Method = strings.ToUpper(method)
		}
		mux.ServeHTTP(w, r)
	})
	panic(http.ListenAndServe("127.0.0.1:"+os.Args[1], overridden))
}
