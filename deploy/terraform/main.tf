# SPDX-License-Identifier: Apache-2.0
#
# What belongs to a cluster's owner and not to a release: the namespace, the secrets, the network's rules, the volume.
# What runs comes after it: kubectl apply -k deploy/kubernetes/workloads
#
#   terraform -chdir=deploy/terraform init
#   terraform -chdir=deploy/terraform apply

terraform {
  required_version = ">= 1.5"
  required_providers {
    kubernetes = {
      source  = "hashicorp/kubernetes"
      version = "~> 2.30"
    }
  }
}

provider "kubernetes" {
  config_path    = var.kubeconfig
  config_context = var.context
}

resource "kubernetes_namespace_v1" "tapedeck" {
  metadata {
    name   = var.namespace
    labels = { "pod-security.kubernetes.io/enforce" = "restricted" }
  }
}

resource "kubernetes_secret_v1" "tapedeck" {
  metadata {
    name      = "tapedeck"
    namespace = kubernetes_namespace_v1.tapedeck.metadata[0].name
  }
  data = merge(
    {
      TAPEDECK_DATABASE_URL = var.database_url
      TAPEDECK_READER_URL   = var.reader_url
    },
    var.source_secrets,
  )
}

resource "kubernetes_persistent_volume_claim_v1" "ingest" {
  metadata {
    name      = "ingest"
    namespace = kubernetes_namespace_v1.tapedeck.metadata[0].name
  }
  spec {
    access_modes       = ["ReadWriteOnce"]
    storage_class_name = var.storage_class
    resources {
      requests = { storage = var.ingest_storage }
    }
  }
  # A class that binds on first use would be waited for in vain.
  wait_until_bound = false
}

# The same rules as deploy/kubernetes/network.yaml, which is their one text.
resource "kubernetes_manifest" "network" {
  for_each = {
    for rule in split("\n---\n", file("${path.module}/../kubernetes/network.yaml")) :
    yamldecode(rule).metadata.name => yamldecode(rule)
  }
  manifest = merge(each.value, {
    metadata = merge(each.value.metadata, { namespace = kubernetes_namespace_v1.tapedeck.metadata[0].name })
  })
}
