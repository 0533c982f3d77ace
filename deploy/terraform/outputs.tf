# SPDX-License-Identifier: Apache-2.0

output "namespace" {
  description = "Where the workloads go."
  value       = kubernetes_namespace_v1.tapedeck.metadata[0].name
}
