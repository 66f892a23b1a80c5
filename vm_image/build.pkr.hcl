build {
  sources = ["source.azure-arm.gpu"]

  provisioner "shell" {
    inline = ["mkdir -p ${local.staging}"]
  }

  provisioner "file" {
    sources = [
      "${var.repository}/vm_image",
      "${var.repository}/gpu_agent",
      "${var.repository}/requirements",
    ]
    destination = "${local.staging}/"
  }

  # The system, and the kernel with its driver.
  provisioner "shell" {
    execute_command   = "sudo bash -euo pipefail '{{ .Path }}'"
    expect_disconnect = true
    inline = [
      "cd ${local.staging}/vm_image/scripts",
      "bash check-pins.sh ../versions.json",
      "bash install-base.sh ${local.versions.archive_snapshot}",
      "bash check-base.sh ${local.versions.archive_snapshot}",
      "bash install-nvidia-driver.sh ${local.versions.nvidia_branch}",
      "systemctl reboot",
    ]
  }

  # What the kernel that every VM will boot makes of it.
  provisioner "shell" {
    pause_before     = "30s"
    environment_vars = ["PIP_NO_CACHE_DIR=1"]
    execute_command  = "sudo {{ .Vars }} bash -euo pipefail '{{ .Path }}'"
    inline = [
      "cd ${local.staging}/vm_image/scripts",
      "bash check-nvidia-driver.sh ${local.versions.kernel_release} ${local.versions.nvidia_version}",
      "bash install-agent.sh ${local.home} ${local.staging}/gpu_agent ${local.staging}/requirements/vm.txt ${local.staging}/requirements/hy3dgen.txt",
      "bash check-agent.sh ${local.home} preview",
      "bash install-extensions.sh ${local.home} ${local.staging}/requirements/vm-build.txt ${local.versions.hunyuan3d_source.repository} ${local.versions.hunyuan3d_source.commit} '${local.versions.cuda_architectures}'",
      "bash check-extensions.sh ${local.home} '${local.versions.cuda_architectures}'",
      "bash install-weights.sh ${local.home} ../versions.json",
      "bash check-weights.sh ${local.home}",
      "bash install-units.sh ../root ${var.image_version}",
      "bash check-units.sh ${var.image_version}",
      "bash install-manifest.sh ${local.home} ../versions.json ${var.image_version}",
      "bash check-manifest.sh",
    ]
  }

  provisioner "file" {
    direction   = "download"
    source      = "/etc/coldforge/manifest.json"
    destination = "${path.root}/manifest-${var.image_version}.json"
  }

  # Last: after it nobody can log in.
  provisioner "shell" {
    execute_command = "sudo bash -euo pipefail '{{ .Path }}'"
    skip_clean      = true
    inline = [
      "bash ${local.staging}/vm_image/scripts/generalise.sh ${local.staging}",
    ]
  }
}
