storage "raft" {
  path    = "/vault/data"
  node_id = "one"
}

listener "tcp" {
  address       = "0.0.0.0:8200"
  tls_cert_file = "/vault/openbao.pem"
  tls_key_file  = "/vault/openbao.key"
}

api_addr     = "https://openbao:8200"
cluster_addr = "https://openbao:8201"

seal "static" {
  current_key_id = "1"
  current_key    = "file:///vault/unseal.key"
}

# At the first start alone. No token with all rights is ever made.
initialize "transit" {
  request "engine" {
    operation = "update"
    path      = "sys/mounts/transit"
    data      = { type = "transit" }
  }
  request "key" {
    operation = "update"
    path      = "transit/keys/sealyard"
    data      = { derived = true }
  }
}

initialize "policies" {
  request "open" {
    operation = "update"
    path      = "sys/policies/acl/sealyard-open"
    data = {
      policy = <<-END
        path "transit/decrypt/sealyard" { capabilities = ["update"] }
      END
    }
  }
  request "make" {
    operation = "update"
    path      = "sys/policies/acl/sealyard-make"
    data = {
      policy = <<-END
        path "transit/decrypt/sealyard" { capabilities = ["update"] }
        path "transit/encrypt/sealyard" { capabilities = ["update"] }
      END
    }
  }
}

initialize "logins" {
  request "approle" {
    operation = "update"
    path      = "sys/auth/approle"
    data      = { type = "approle" }
  }
  request "sidecar" {
    operation = "update"
    path      = "auth/approle/role/sidecar"
    data      = { token_policies = ["sealyard-open"], token_ttl = "1m" }
  }
  request "sidecar-id" {
    operation = "update"
    path      = "auth/approle/role/sidecar/role-id"
    data      = { role_id = "sidecar" }
  }
  request "sidecar-secret" {
    operation = "update"
    path      = "auth/approle/role/sidecar/custom-secret-id"
    data = {
      secret_id = { eval_type = "string", eval_source = "file", path = "/vault/sidecar_secret_id" }
    }
  }
  request "operator" {
    operation = "update"
    path      = "auth/approle/role/operator"
    data      = { token_policies = ["sealyard-make"], token_ttl = "1m" }
  }
  request "operator-id" {
    operation = "update"
    path      = "auth/approle/role/operator/role-id"
    data      = { role_id = "operator" }
  }
  request "operator-secret" {
    operation = "update"
    path      = "auth/approle/role/operator/custom-secret-id"
    data = {
      secret_id = { eval_type = "string", eval_source = "file", path = "/vault/operator_secret_id" }
    }
  }
}
